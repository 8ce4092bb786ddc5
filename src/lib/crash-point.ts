// Named points at which a test kills the daemon: after each effect that the next daemon finds (a file, a row, a process).
//
// BANGER_DEBUG_CRASH_AT=<name> ends the process with SIGKILL when the point is reached, <name>#<n> when it is for the n-th time.
// A name is "<verb>.<what is done now>"; test/vm/crash-points.test.ts knows all of them, and fails when one is not reached.

const [wanted, nth = "1"] = process.env["BANGER_DEBUG_CRASH_AT"]?.split("#") ?? [];
let left = Number(nth);

/** Does nothing, unless this is the point that the environment names. Synchronous: nothing comes after it. */
export function crashPoint(name: string): void {
  if (wanted === undefined) return;
  if (name === wanted && --left === 0) process.kill(process.pid, "SIGKILL");
}
