// Asks for a line on the terminal, shown or hidden, and reads a secret from a pipe.
import type { ReadStream } from "node:tty";
import { BangerError } from "../lib/errors.ts";
import type { CliContext } from "./context.ts";
import { enterRawMode } from "./session/raw-mode.ts";

const longestBytes = 64 * 1024;

/** One line that the user types. Throws `usage` when there is no terminal to ask on, `cancelled` on Ctrl-C and Ctrl-D. */
export async function askLine(context: CliContext, question: string, { hidden }: { hidden: boolean }): Promise<string> {
  const { streams, interrupts } = context;
  if (!streams.stdinIsTty)
    throw new BangerError("usage", `${question.toLowerCase()}: there is no terminal to ask on`, {
      hint: "banger registry login --help",
    });
  const stdin = streams.stdin();
  streams.stderr.write(`${question}: `);
  // Raw in both cases: what is typed ahead of the next question is not swallowed by this one's line.
  using _raw = enterRawMode(stdin, interrupts);
  try {
    return await readKeys(stdin, interrupts.signal, (text) => {
      if (!hidden) streams.stderr.write(text);
    });
  } finally {
    stdin.pause();
    streams.stderr.write("\r\n");
  }
}

async function readKeys(stdin: ReadStream, signal: AbortSignal, echo: (text: string) => void): Promise<string> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const cancel = () => reject(new BangerError("cancelled", "cancelled"));
  const onAbort = () => reject(signal.reason);
  let line = "";
  const onData = (data: Buffer | string) => {
    const text = data.toString();
    for (const [at, key] of Array.from(text).entries()) {
      if (key === "\r" || key === "\n") {
        const rest = Array.from(text)
          .slice(at + 1)
          .join("");
        stdin.off("data", onData).pause();
        if (rest !== "") stdin.unshift(Buffer.from(rest));
        return resolve(line);
      }
      if (key === "\u0003" || key === "\u0004") return cancel();
      if (key === "\u007f" || key === "\b") {
        if (line !== "") echo("\b \b");
        line = Array.from(line).slice(0, -1).join("");
      } else if (key === "\u0015") {
        echo("\b \b".repeat(Array.from(line).length));
        line = "";
      } else if (key >= " " && line.length < longestBytes) {
        line += key;
        echo(key);
      }
    }
  };
  signal.addEventListener("abort", onAbort, { once: true });
  stdin.on("data", onData).once("end", cancel).resume();
  try {
    return await promise;
  } finally {
    stdin.off("data", onData).off("end", cancel);
    signal.removeEventListener("abort", onAbort);
  }
}

/** All of standard input without the newline at its end. Throws `usage` when it is too long. */
export async function readSecret({ streams, interrupts }: CliContext): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stdin = streams.stdin();
  const onAbort = () => stdin.destroy(interrupts.signal.reason as Error);
  interrupts.signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer | string>) {
      const piece = Buffer.from(chunk as string);
      bytes += piece.length;
      if (bytes > longestBytes) throw new BangerError("usage", `standard input has more than ${longestBytes} bytes`);
      chunks.push(piece);
    }
  } finally {
    interrupts.signal.removeEventListener("abort", onAbort);
  }
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}
