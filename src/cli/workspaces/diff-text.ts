// A diff on the terminal: made safe, and coloured line by line. Through a pipe it passes byte for byte.
import type { Readable } from "node:stream";
import { copyText } from "../output/copy-text.ts";
import { safeText } from "../output/safe-text.ts";
import type { Style, Terminal } from "../output/terminal.ts";

/** A line may be as long as a file: it is shown in pieces of this many characters. */
const maxPiece = 64 * 1024;

/** Prints to the end. */
export async function printDiff(diff: Readable, terminal: Terminal): Promise<void> {
  if (terminal.stdout.isTTY !== true || terminal.json) return await copyText(diff, terminal);
  const safe = safeText();
  const painter = new Painter(terminal);
  for await (const chunk of diff) await write(terminal, painter.push(safe.push(chunk as Buffer)));
  await write(terminal, painter.push(safe.end()) + painter.end());
}

/** Colours the lines of a diff. The text has no control characters any more, so a line is what it seems. */
class Painter {
  readonly #terminal: Terminal;
  #rest = "";
  /** Between "diff" and the first "@@", where "---" and "+++" are no content. */
  #head = true;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  push(text: string): string {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    let painted = lines.map((line) => `${this.#paint(line)}\n`).join("");
    if (this.#rest.length > maxPiece) {
      painted += this.#paint(this.#rest);
      this.#rest = "";
    }
    return painted;
  }

  end(): string {
    return this.#rest === "" ? "" : this.#paint(this.#rest);
  }

  #paint(line: string): string {
    if (line.startsWith("diff ")) this.#head = true;
    else if (line.startsWith("@@")) this.#head = false;
    const style = this.#style(line);
    return style === undefined || line === "" ? line : this.#terminal.style(style, line);
  }

  #style(line: string): Style | undefined {
    if (this.#head) return "bold";
    if (line.startsWith("@@")) return "dim";
    if (line.startsWith("+")) return "green";
    return line.startsWith("-") ? "red" : undefined;
  }
}

async function write({ stdout }: Terminal, text: string): Promise<void> {
  if (text === "") return;
  await new Promise<void>((resolve, reject) => {
    const take = stdout.write as (data: string, done: (error?: Error | null) => void) => unknown;
    take.call(stdout, text, (error) => (error ? reject(error) : resolve()));
  });
}
