// Text of unknown origin to stdout as it comes: made safe on a terminal, byte for byte otherwise.
import type { Readable } from "node:stream";
import { printable } from "./sanitise.ts";
import type { OutputStream, Terminal } from "./terminal.ts";

/** Copies to the end. With --json the whole text is one object `{"text": ...}`. */
export async function copyText(source: Readable, terminal: Terminal): Promise<void> {
  if (!terminal.json && terminal.stdout.isTTY !== true) {
    for await (const chunk of source) await writeAll(terminal.stdout, chunk as Buffer);
    return;
  }
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of source) {
    const piece = decoder.decode(chunk as Buffer, { stream: true });
    if (terminal.json) text += piece;
    // A console ends its lines with CR LF: the CR is no attack and no information.
    else await writeAll(terminal.stdout, printable(piece.replaceAll("\r\n", "\n")));
  }
  if (terminal.json) terminal.printJson({ text: text + decoder.decode() });
}

/** Resolves when the stream has taken the bytes, so a slow reader slows the source. */
export async function writeAll(stream: OutputStream, data: Uint8Array | string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const write = stream.write as (data: string | Uint8Array, done: (error?: Error | null) => void) => unknown;
  write.call(stream, data, (error) => (error === undefined || error === null ? resolve() : reject(error)));
  await promise;
}
