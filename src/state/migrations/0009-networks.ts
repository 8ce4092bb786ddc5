// Schema 9: networks that VMs are in together.

export const sql = `
CREATE TABLE networks (
  name TEXT PRIMARY KEY,
  created_at INTEGER NOT NULL
) STRICT;
`;
