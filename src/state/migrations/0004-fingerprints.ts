// Schema 4: what the running machine of a VM was started with, so that memory taken of it later says so.

export const sql = `
ALTER TABLE vms ADD COLUMN fingerprint TEXT;
`;
