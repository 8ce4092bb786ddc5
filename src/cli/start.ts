// What the entry loads for everything but the version.
export { createEnvironment } from "./environment.ts";
export { lastCode } from "./leave.ts";
export { main } from "./main.ts";
