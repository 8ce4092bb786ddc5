// Schema 5: the image's init that a VM runs, and that runs in the memory of a snapshot.

export const sql = `
ALTER TABLE vms ADD COLUMN init TEXT;
ALTER TABLE snapshots ADD COLUMN init TEXT;
`;
