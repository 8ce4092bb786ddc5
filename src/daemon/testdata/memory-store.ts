// The real table of operations in a database in memory's place: a file that nobody keeps.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openState } from "../../state/open.ts";
import type { OperationStore } from "../services.ts";

/** A store of a test's own; its methods may be replaced. */
export function memoryStore(): OperationStore {
  const dir = mkdtempSync(join(tmpdir(), "banger-operations-"));
  const { operations } = openState(join(dir, "banger.db"));
  // SQLite goes on with the open file.
  rmSync(dir, { recursive: true });
  return { ...operations };
}
