// Random bytes of a guest on their way to a terminal: nothing that steers it comes through, however they are cut, and nothing is lost.
import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import { fuzz, pick } from "../../lib/testdata/fuzz.ts";
import type { Random } from "../../lib/testdata/fuzz.ts";
import { copyText } from "./copy-text.ts";
import { safeOutput } from "./safe-text.ts";
import { printable, printableJson, printableLine } from "./sanitise.ts";
import { Terminal } from "./terminal.ts";

const parts = ["\u001b[2J", "\u001b]0;x\u0007", "\r\n", "\r", "\u009b1m", "\u202e", "🙂", "é", "a", "\0", "\u0085"].map(
  (text) => Buffer.from(text),
);
/** C0 but tab and newline, DEL, C1, marks of direction, and what hides. */
const steering = /[^\P{Cc}\n\t]|[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;

function bytes(random: Random): Buffer {
  const one = () => (random(3) === 0 ? Buffer.from([random(256)]) : pick(random, parts));
  return Buffer.concat(Array.from({ length: random(200) }, one));
}

function pieces(random: Random, whole: Buffer): Buffer[] {
  const cut: Buffer[] = [];
  for (let at = 0; at < whole.length;) {
    const next = at + 1 + random(pick(random, [2, 5, 300]));
    cut.push(whole.subarray(at, next));
    at = next;
  }
  return cut;
}

function collector(isTTY: boolean) {
  const seen: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      seen.push(chunk);
      setImmediate(done);
    },
  });
  return { stream: Object.assign(stream, { isTTY }), bytes: () => Buffer.concat(seen) };
}

fuzz("bytes to a terminal", 150, async (random) => {
  const whole = bytes(random);
  const expected = printable(new TextDecoder().decode(whole).replaceAll("\r\n", "\n"));
  assert.doesNotMatch(expected, steering);
  for (const show of [printable, printableLine, printableJson]) assert.doesNotMatch(show(whole.toString()), steering);

  const shown = collector(true);
  await copyText(Readable.from(pieces(random, whole)), new Terminal(shown.stream, shown.stream, {}));
  assert.equal(shown.bytes().toString(), expected, "logs on a terminal");

  const output = collector(true);
  const safe = safeOutput(output.stream);
  for (const piece of pieces(random, whole)) safe.write(piece);
  await new Promise<void>((done) => safe.end(done));
  assert.equal(output.bytes().toString(), expected, "output on a terminal");

  const piped = collector(false);
  await copyText(Readable.from(pieces(random, whole)), new Terminal(piped.stream, piped.stream, {}));
  assert.ok(piped.bytes().equals(whole), "through a pipe the bytes are as they are");
});
