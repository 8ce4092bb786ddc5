// Splits the bytes of a QMP socket into JSON objects, bounded. The VMM's process is guest territory: whatever does not look
// like QMP ends the connection and never grows memory.
import { BangerError } from "../../lib/errors.ts";

/**
 * Longest line that is taken. Most replies and events that we use have some hundred bytes; the description of disks can have
 * ten kilobytes for each of their layers.
 */
export const maxLineBytes = 4 * 1024 * 1024;
const firstBytes = 16 * 1024;

/** Collects bytes and gives whole lines as objects. Throws `vmm.failed` for a line that is too long or is not a JSON object. */
export class QmpLines {
  #line = Buffer.allocUnsafe(firstBytes);
  #length = 0;

  push(chunk: Buffer): Record<string, unknown>[] {
    const messages: Record<string, unknown>[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end));
      start = end + 1;
      const line = this.#line.toString("utf8", 0, this.#length).trim();
      this.#length = 0;
      if (line !== "") messages.push(parseObject(line));
    }
    this.#keep(chunk.subarray(start));
    return messages;
  }

  #keep(bytes: Buffer): void {
    if (this.#length + bytes.length > maxLineBytes) throw broken(`a line of more than ${maxLineBytes} bytes`);
    if (this.#length + bytes.length > this.#line.length) this.#grow(this.#length + bytes.length);
    bytes.copy(this.#line, this.#length);
    this.#length += bytes.length;
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafe(Math.min(maxLineBytes, Math.max(needed, 2 * this.#line.length)));
    this.#line.copy(larger, 0, 0, this.#length);
    this.#line = larger;
  }
}

function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw broken("a line that is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw broken("JSON that is not an object");
  return value as Record<string, unknown>;
}

function broken(what: string): BangerError {
  return new BangerError("vmm.failed", `the VMM sent ${what} on its control socket`);
}
