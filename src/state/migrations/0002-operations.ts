// Schema 2: operations, so that one which the daemon did not live to finish can be told from one that never was.

export const sql = `
CREATE TABLE operations (
  id TEXT PRIMARY KEY,
  done INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT;

CREATE INDEX operations_by_start ON operations (started_at);
CREATE INDEX operations_unfinished ON operations (id) WHERE done = 0;
`;
