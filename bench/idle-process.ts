// A Node process that does nothing but look at the clock: what the host does to the event loop of any process meanwhile.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** As often as the daemon's own (src/daemon/loop-delay.ts); ends and prints when its stdin does. */
const script = `
let before = performance.now(), longest = 0;
const look = () => { const now = performance.now(); longest = Math.max(longest, now - before - 5); before = now; };
const timer = setInterval(look, 5);
process.stdin.resume().on("end", () => { look(); clearInterval(timer); console.log(longest); });
console.log("begun");`;

export interface IdleProcess extends AsyncDisposable {
  /** Ends it. Milliseconds that a timer of it was late at most. */
  longestDelayMs(): Promise<number>;
}

/** Measures until it is asked, or disposed. */
export async function startIdleProcess(): Promise<IdleProcess> {
  const child = spawn(process.execPath, ["-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  return {
    async longestDelayMs() {
      child.stdin.end();
      return Number(await text(child.stdout));
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      child.stdout.resume();
      await exited;
    },
  };
}
