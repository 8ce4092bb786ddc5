// A daemon process with fake services and a build time from the environment: for tests of processes, sockets and versions.
import { runDaemon } from "../../../src/daemon/main.ts";
import { openFakeServices } from "./fake-services.ts";

await runDaemon({
  build: { version: "test", builtAt: Number(process.env["BANGER_DEBUG_BUILT_AT"] ?? 0), commit: "test" },
  openServices: openFakeServices,
});
