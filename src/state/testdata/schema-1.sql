-- A database as schema 1 left it. Never edited: tests bring it forward.
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
INSERT INTO images VALUES ('aaaa', 'debian-bookworm', '{"source":"catalog:debian-bookworm"}', 1000);
INSERT INTO kernels VALUES ('bbbb', 'debian-bookworm-cloud', '{"version":"6.1.0"}', 1001);
INSERT INTO vms VALUES (
  '0123456789ab', 'swift-otter', 'stopped', '', 'aaaa', 'debian-bookworm', 'bbbb', 'debian-bookworm-cloud',
  '{"vcpus":2,"memoryMib":1024,"diskBytes":8589934592,"overlayBytes":8589934592}', 0, NULL,
  'PRIVATE', 'ssh-ed25519 AAAA', NULL, 1002, 1003
);
PRAGMA application_id = 1651402610;
PRAGMA user_version = 1;
