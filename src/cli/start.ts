// What the entry loads for everything but the version.
export { createEnvironment } from "./environment.ts";
export { main } from "./main.ts";
