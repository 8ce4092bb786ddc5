// Schema 1: VMs, and the images and kernels that they are made of.

/** `host_key_pem` is the private SSH host key of the guest: why the database file is 0600. */
export const sql = `
CREATE TABLE images (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  manifest TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE kernels (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  manifest TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE vms (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  image_id TEXT NOT NULL REFERENCES images (id),
  image_name TEXT NOT NULL,
  kernel_id TEXT NOT NULL REFERENCES kernels (id),
  kernel_name TEXT NOT NULL,
  spec TEXT NOT NULL,
  auto_remove INTEGER NOT NULL,
  workspace TEXT,
  host_key_pem TEXT NOT NULL,
  host_key_public TEXT NOT NULL,
  boot_id TEXT,
  created_at INTEGER NOT NULL,
  started_at INTEGER
) STRICT;

CREATE INDEX vms_by_image ON vms (image_id);
CREATE INDEX vms_by_kernel ON vms (kernel_id);
`;
