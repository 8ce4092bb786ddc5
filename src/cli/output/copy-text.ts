// Text of unknown origin to stdout as it comes: made safe on a terminal, byte for byte otherwise.
import type { Readable } from "node:stream";
import { safeText } from "./safe-text.ts";
import type { OutputStream, Terminal } from "./terminal.ts";

/** Copies to the end. With --json the whole text is one object `{"text": ...}`; with `follow` one on a line for each piece. */
export async function copyText(source: Readable, terminal: Terminal, { follow = false } = {}): Promise<void> {
  if (terminal.json) return await copyJson(source, terminal, follow);
  const { stdout } = terminal;
  const safe = stdout.isTTY === true ? safeText() : undefined;
  for await (const chunk of source) await writeAll(stdout, safe?.push(chunk as Buffer) ?? (chunk as Buffer));
  if (safe !== undefined) await writeAll(stdout, safe.end());
}

async function copyJson(source: Readable, terminal: Terminal, follow: boolean): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of source) {
    text += decoder.decode(chunk as Buffer, { stream: true });
    if (!follow) continue;
    terminal.printJsonLine({ text });
    text = "";
  }
  if (!follow) terminal.printJson({ text: text + decoder.decode() });
}

/** Resolves when the stream has taken the bytes, so a slow reader slows the source. */
async function writeAll(stream: OutputStream, data: Uint8Array | string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const write = stream.write as (data: string | Uint8Array, done: (error?: Error | null) => void) => unknown;
  write.call(stream, data, (error) => (error === undefined || error === null ? resolve() : reject(error)));
  await promise;
}
