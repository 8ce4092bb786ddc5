// A process that stops in the middle of migrating, for tests: it waits to be killed with its transaction open.
import { DatabaseSync } from "node:sqlite";
import { migrations } from "../migrate.ts";

const database = new DatabaseSync(process.argv[2] ?? "");
database.exec("PRAGMA journal_mode = WAL; PRAGMA cache_spill = ON; PRAGMA cache_size = 1; BEGIN IMMEDIATE");
database.exec(migrations[1] ?? "");
database.exec("PRAGMA user_version = 2; DELETE FROM vms");
process.stdout.write("0\n");
setInterval(() => {}, 60_000);
