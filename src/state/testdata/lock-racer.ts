// A process that tries to take a lock once told to, for tests. It says "held" or "refused" and stays until its stdin ends.
import { acquireProcessLock } from "../lock.ts";

process.stdout.write("ready\n");
let lock: Disposable | undefined;
process.stdin.once("data", () => {
  lock = acquireProcessLock(process.argv[2] ?? "");
  process.stdout.write(lock === undefined ? "refused\n" : "held\n");
});
process.stdin.on("end", () => lock?.[Symbol.dispose]());
