// Progress of operations on stderr: one line that is redrawn on a terminal, a line for each stage otherwise.
import type { Operation } from "../../api/records.ts";
import { formatBytes, formatDuration } from "../../lib/units.ts";
import { printableLine } from "./sanitise.ts";
import type { Terminal } from "./terminal.ts";

const redrawMs = 200;
/** Not worth a line: over at once, or told by what the command prints at its end. */
const silentStages = new Set(["", "resolve", "ready"]);

/** Shows one or several operations until disposed; the live line is erased then. Nothing is shown with --quiet or --json. */
export class ProgressView implements Disposable {
  readonly #terminal: Terminal;
  readonly #startedMs = performance.now();
  readonly #current = new Map<string, Operation>();
  readonly #stages = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #detach: (() => void) | undefined;
  #drawn = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Milliseconds since the view was made. */
  get elapsedMs(): number {
    return performance.now() - this.#startedMs;
  }

  update(operation: Operation): void {
    if (operation.done) this.#current.delete(operation.id);
    else this.#current.set(operation.id, operation);
    if (this.#terminal.animated) this.#animate();
    else this.#printStage(operation);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#detach?.();
    this.#erase();
  }

  #printStage(operation: Operation): void {
    if (operation.done || silentStages.has(operation.stage) || this.#stages.get(operation.id) === operation.stage)
      return;
    this.#stages.set(operation.id, operation.stage);
    const detail = ["", operation.target].includes(operation.detail) ? "" : ` ${operation.detail}`;
    this.#terminal.notice(`${operation.target === "" ? "banger" : operation.target}: ${operation.stage}${detail}`);
  }

  #animate(): void {
    this.#detach ??= this.#terminal.attachLive({ erase: () => this.#erase(), draw: () => this.#draw() });
    this.#timer ??= setInterval(() => this.#draw(), redrawMs).unref();
    this.#draw();
  }

  #draw(): void {
    const operations = [...this.#current.values()];
    if (operations.length === 0) return;
    const first = operations[0] as Operation;
    const text =
      operations.length === 1
        ? describe(first)
        : `${operations.length} under way: ${operations.map((operation) => operation.target).join(", ")}`;
    if (text === "") return;
    const line = `${printableLine(text)}  ${formatDuration(this.elapsedMs)}`;
    // One column is left free so that the cursor never wraps to a second line, which could not be erased.
    const width = Math.max(20, (this.#terminal.stderr.columns ?? 80) - 1);
    this.#terminal.stderr.write(`\r\x1b[K${this.#terminal.style("dim", line.slice(0, width))}`);
    this.#drawn = true;
  }

  #erase(): void {
    if (!this.#drawn) return;
    this.#terminal.stderr.write("\r\x1b[K");
    this.#drawn = false;
  }
}

/** "boot waiting for the guest", "download linux.deb 12.0 MiB / 27.1 MiB (44%)". */
function describe(operation: Operation): string {
  const words = [operation.stage, operation.detail].filter((word) => word !== "");
  const progress = operation.progress;
  if (progress !== null) {
    const total = progress.totalBytes;
    const percent = total === null || total === 0 ? "" : ` (${Math.floor((progress.doneBytes / total) * 100)}%)`;
    words.push(formatBytes(progress.doneBytes) + (total === null ? "" : ` / ${formatBytes(total)}${percent}`));
  }
  return words.join(" ");
}
