// Schema 3: snapshots, what the disks of VMs rest on, and how long starts took.

export const sql = `
CREATE TABLE snapshots (
  id TEXT PRIMARY KEY,
  name TEXT UNIQUE,
  parent_id TEXT REFERENCES snapshots (id),
  complete INTEGER NOT NULL,
  vm_id TEXT NOT NULL,
  vm_name TEXT NOT NULL,
  image_id TEXT NOT NULL REFERENCES images (id),
  image_name TEXT NOT NULL,
  kernel_id TEXT NOT NULL REFERENCES kernels (id),
  kernel_name TEXT NOT NULL,
  spec TEXT NOT NULL,
  workspace TEXT,
  fingerprint TEXT,
  warm INTEGER NOT NULL,
  paused_ms REAL NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX snapshots_by_parent ON snapshots (parent_id);
CREATE INDEX snapshots_by_image ON snapshots (image_id);
CREATE INDEX snapshots_by_kernel ON snapshots (kernel_id);

ALTER TABLE vms ADD COLUMN base_snapshot_id TEXT REFERENCES snapshots (id);
ALTER TABLE vms ADD COLUMN disk_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vms ADD COLUMN last_start TEXT;

CREATE INDEX vms_by_base ON vms (base_snapshot_id);

CREATE TABLE starts (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  record TEXT NOT NULL
) STRICT;
`;
