// Schema 6: labels, ways from the host into a VM, the address that they listen on, and when a VM ends by itself.

export const sql = `
ALTER TABLE vms ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE vms ADD COLUMN forwards TEXT NOT NULL DEFAULT '[]';
ALTER TABLE vms ADD COLUMN lifetime TEXT;
ALTER TABLE vms ADD COLUMN address TEXT;
ALTER TABLE vms ADD COLUMN last_used_at INTEGER;
CREATE UNIQUE INDEX vm_addresses ON vms (address) WHERE address IS NOT NULL;
`;
