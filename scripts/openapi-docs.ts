// Writes docs/openapi.json from the table of methods.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openApiText } from "../src/api/openapi.ts";

writeFileSync(join(import.meta.dirname, "../docs/openapi.json"), openApiText());
