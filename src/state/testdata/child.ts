// Starts a program of this folder as a process of its own, for tests, and reads what it says line by line.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

export interface Child {
  process: ChildProcessByStdio<Writable, Readable, null>;
  /** The next line; fails when the process ends or says nothing for 60 s. */
  line(): Promise<string>;
  /** SIGKILL, and the end of the process. */
  kill(): Promise<void>;
}

export function startChild(program: string, ...args: string[]): Child {
  const child = spawn(process.execPath, [join(import.meta.dirname, program), ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exited = once(child, "exit");
  return {
    process: child,
    async line() {
      const { promise, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error(`${program} said nothing for 60 s`)), 60_000);
      try {
        const next = await Promise.race([lines.next(), promise]);
        if (next.done === true) throw new Error(`${program} ended early`);
        return next.value;
      } finally {
        clearTimeout(timer);
      }
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
