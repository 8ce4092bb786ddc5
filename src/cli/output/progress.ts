// Progress of operations on stderr: on a terminal one line that is redrawn, with one for each layer below it while layers
// arrive; else a line for each stage.
import type { Operation } from "../../api/records.ts";
import { formatBytes, formatDuration } from "../../lib/units.ts";
import { layerLines } from "./layer-lines.ts";
import { printableLine } from "./sanitise.ts";
import type { Terminal } from "./terminal.ts";

const redrawMs = 200;
/** Not worth a line: over at once, or told by what the command prints at its end. */
const silentStages = new Set(["", "resolve", "ready"]);

/** Bytes from which on a download is told of at each quarter where nothing can be redrawn. */
const longDownloadBytes = 64 * 1024 ** 2;

/** Shows one or several operations until disposed; the live line is erased then. Nothing is shown with --quiet or --json. */
export class ProgressView implements Disposable {
  readonly #terminal: Terminal;
  readonly #startedMs = performance.now();
  readonly #current = new Map<string, Operation>();
  readonly #stages = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #detach: (() => void) | undefined;
  /** Lines that are on the screen; the cursor is at the end of the last one. */
  #drawn = 0;

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
    if (operation.done || silentStages.has(operation.stage)) return;
    const quarter = quartersOf(operation);
    const stage = `${operation.stage} ${quarter}`;
    if (this.#stages.get(operation.id) === stage) return;
    this.#stages.set(operation.id, stage);
    const who = operation.target === "" ? "banger" : operation.target;
    this.#terminal.notice(`${who}: ${operation.stage}${plainDetail(operation, quarter)}`);
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
    const columns = Math.max(20, (this.#terminal.stderr.columns || 80) - 1);
    const style = this.#terminal.style.bind(this.#terminal);
    const parts = operations.length === 1 ? (first.progress?.parts ?? []) : [];
    const rows = (this.#terminal.stderr.rows || 24) - 2;
    const lines = [
      style("dim", line.slice(0, columns)),
      ...layerLines(parts, { columns, rows, style, unicode: this.#terminal.unicode }),
    ];
    // In one piece: what stands there is never seen half erased.
    this.#terminal.stderr.write(`${this.#eraser()}${lines.join("\n")}`);
    this.#drawn = lines.length;
  }

  #erase(): void {
    if (this.#drawn > 0) this.#terminal.stderr.write(this.#eraser());
    this.#drawn = 0;
  }

  /** Moves to the start of what is drawn and clears from there. */
  #eraser(): string {
    return this.#drawn > 1 ? `\r\x1b[${this.#drawn - 1}A\x1b[J` : "\r\x1b[K";
  }
}

/** How many quarters of a long download have arrived; 0 for what is not worth more than one line. */
function quartersOf({ progress }: Operation): number {
  const total = progress?.totalBytes ?? 0;
  if (progress?.parts === undefined || total < longDownloadBytes) return 0;
  return Math.min(3, Math.floor((4 * progress.doneBytes) / total));
}

/** " 6 layers, 48.0 MiB", " 25% of 480.0 MiB", " package lists". */
function plainDetail({ detail, target, progress }: Operation, quarter: number): string {
  const total = formatBytes(progress?.totalBytes ?? 0);
  if (quarter > 0) return ` ${quarter * 25}% of ${total}`;
  const count = progress?.parts?.length;
  if (count !== undefined) return ` ${count === 1 ? "1 layer" : `${count} layers`}, ${total}`;
  return ["", target].includes(detail) ? "" : ` ${detail}`;
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
