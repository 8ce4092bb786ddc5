// What the entry loads for everything but the version.
export { createEnvironment } from "./environment.ts";
export { leave } from "./leave.ts";
export { main } from "./main.ts";
