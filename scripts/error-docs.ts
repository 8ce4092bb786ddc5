// Writes docs/errors.md from the list of error codes.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorReference } from "../src/lib/error-reference.ts";

writeFileSync(join(import.meta.dirname, "../docs/errors.md"), errorReference());
