// Writes docs/config.md from the schema of config.toml.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { configReference } from "../src/config/reference.ts";

writeFileSync(join(import.meta.dirname, "../docs/config.md"), configReference());
