// Where a command's words go. stdout gets only what was asked for; everything else is stderr.
import { printable, printableJson, printableLine } from "./sanitise.ts";

export interface OutputStream {
  write(data: string | Uint8Array): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export type Style = "dim" | "bold" | "red" | "yellow" | "green";

export interface OutputMode {
  json?: boolean | undefined;
  quiet?: boolean | undefined;
  noColor?: boolean | undefined;
}

/** The two output streams with what the user asked of them. `configure` is called once the flags are known. */
export class Terminal {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Whether the user's locale says that more than ASCII can be shown. */
  readonly unicode: boolean;
  json = false;
  quiet = false;
  #color: boolean;
  readonly #isDumb: boolean;
  /** Erases and redraws the progress line around other output: both streams may be the same terminal. */
  #live: { erase(): void; draw(): void } | undefined;

  constructor(stdout: OutputStream, stderr: OutputStream, env: Readonly<Record<string, string | undefined>>) {
    this.stdout = stdout;
    this.stderr = stderr;
    this.unicode = /utf-?8/i.test(
      [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find((name) => (name ?? "") !== "") ?? "",
    );
    this.#isDumb = env["TERM"] === "dumb";
    this.#color = stderr.isTTY === true && (env["NO_COLOR"] ?? "") === "" && !this.#isDumb;
  }

  configure(mode: OutputMode): void {
    this.json ||= mode.json === true;
    this.quiet ||= mode.quiet === true;
    if (mode.noColor === true) this.#color = false;
  }

  /** Whether stderr takes a line that is redrawn. */
  get animated(): boolean {
    return this.stderr.isTTY === true && !this.#isDumb && !this.quiet && !this.json;
  }

  /** Text of ours and of others on stdout: sanitised, one newline at the end. */
  print(text: string): void {
    const safe = printable(text);
    this.#aroundLive(() => this.stdout.write(safe.endsWith("\n") ? safe : `${safe}\n`));
  }

  /** A record as indented JSON on stdout. */
  printJson(value: unknown): void {
    this.#aroundLive(() => this.stdout.write(`${printableJson(value)}\n`));
  }

  /** One of several values: JSON on a line of stdout. */
  printJsonLine(value: unknown): void {
    this.#aroundLive(() => this.stdout.write(`${printableJson(value, 0)}\n`));
  }

  /** A line on stderr that must always be seen. */
  report(line: string): void {
    this.#aroundLive(() => this.stderr.write(`${line}\n`));
  }

  /** A line on stderr for people: left out with --quiet and --json. */
  notice(line: string, style?: Style): void {
    if (this.quiet || this.json) return;
    const text = printableLine(line);
    this.report(style === undefined ? text : this.style(style, text));
  }

  /** Colour for stderr; the text itself when there is none. */
  style(style: Style, text: string): string {
    if (!this.#color) return text;
    return process.getBuiltinModule("node:util").styleText(style, text, { validateStream: false });
  }

  /** Registers the live progress line; the returned function takes it away again. */
  attachLive(live: { erase(): void; draw(): void }): () => void {
    this.#live = live;
    return () => {
      if (this.#live === live) this.#live = undefined;
    };
  }

  #aroundLive(write: () => void): void {
    this.#live?.erase();
    write();
    this.#live?.draw();
  }
}
