// Schema 8: what VMs may reach, and what those that go on from a snapshot may.

export const sql = `
ALTER TABLE vms ADD COLUMN network TEXT;
ALTER TABLE snapshots ADD COLUMN network TEXT;
`;
