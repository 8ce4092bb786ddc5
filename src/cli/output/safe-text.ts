// Bytes of a guest as text that is safe on a terminal, however they were cut into pieces.
import { Writable } from "node:stream";
import { printable } from "./sanitise.ts";

export interface SafeText {
  push(bytes: Uint8Array): string;
  /** What was held back: the start of a character or of a line's end. */
  end(): string;
}

/** Shows control characters as escapes. The CR of a CR LF is no attack and no information: it is left out. */
export function safeText(): SafeText {
  const decoder = new TextDecoder();
  let held = "";
  const safe = (piece: string) => {
    const text = (held + piece).replaceAll("\r\n", "\n");
    held = text.endsWith("\r") ? "\r" : "";
    return printable(held === "" ? text : text.slice(0, -1));
  };
  return {
    push: (bytes) => safe(decoder.decode(bytes, { stream: true })),
    end: () => safe(decoder.decode()) + printable(held),
  };
}

/** Where a guest's bytes can be written to in place of the terminal `to`, which is never ended. End this one to see all of them. */
export function safeOutput(to: Writable): Writable {
  const text = safeText();
  // An error of the terminal is heard by whoever owns it.
  const pass = (piece: string, done: () => void) => {
    if (piece === "") done();
    else to.write(piece, () => done());
  };
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => pass(text.push(chunk), done),
    final: (done) => pass(text.end(), done),
  });
}
