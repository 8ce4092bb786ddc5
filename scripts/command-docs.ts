// Writes docs/commands.md from the command tree.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandReference } from "../src/cli/reference.ts";

writeFileSync(join(import.meta.dirname, "../docs/commands.md"), await commandReference());
