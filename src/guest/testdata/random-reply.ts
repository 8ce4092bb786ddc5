// Replies that a guest could send: messages of the right kind with any content, messages that were damaged, and whole answers over HTTP/2
// that keep no rule.
import { create, toBinary } from "@bufbuild/protobuf";
import type { DescField, DescMessage, DescMethod } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import type { ServerHttp2Stream } from "node:http2";
import { pick } from "../../lib/testdata/fuzz.ts";
import type { Random } from "../../lib/testdata/fuzz.ts";

const words = [
  "",
  "x",
  "\u001b[2J\u001b]0;title\u0007",
  "\u202e\u2066",
  "a\nb\tc\r",
  "\0",
  "../../etc",
  "é".repeat(300),
];
const big = [0n, 1n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 64n - 1n];

/** Bytes that stand for nothing. */
export function noise(random: Random, most: number): Buffer {
  return Buffer.from(Array.from({ length: random(most + 1) }, () => random(256)));
}

/** The bytes with some of them changed, gone, doubled or cut off. */
export function damaged(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  if (copy.length === 0) return noise(random, 8);
  const at = random(copy.length);
  const kind = random(5);
  if (kind === 0) return copy.subarray(0, at);
  if (kind === 1) return Buffer.concat([copy.subarray(0, at), noise(random, 20), copy.subarray(at)]);
  if (kind === 2) return Buffer.concat([copy.subarray(0, at), copy.subarray(random(copy.length))]);
  for (let count = random(4); count >= 0; count -= 1) copy[random(copy.length)] = random(256);
  return copy;
}

function scalar(random: Random, field: DescField & { scalar: ScalarType }): unknown {
  switch (field.scalar) {
    case ScalarType.STRING:
      return random(40) === 0 ? "\u001by".repeat(20_000) : pick(random, words);
    case ScalarType.BYTES:
      return random(10) === 0 ? Buffer.alloc(random(100_000)) : noise(random, 40);
    case ScalarType.BOOL:
      return random(2) === 0;
    case ScalarType.DOUBLE:
      return pick(random, [0, 1.5, -1, Number.NaN, Infinity, -Infinity, 1e308]);
    case ScalarType.UINT64:
      return pick(random, big);
    case ScalarType.INT64:
      return pick(random, [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]);
    case ScalarType.INT32:
      return pick(random, [0, 1, 255, 256, -1, 2 ** 31 - 1]);
    default:
      return pick(random, [0, 1, 22, 65_536, 2 ** 32 - 1]);
  }
}

function fieldValue(random: Random, field: DescField): unknown {
  if (field.fieldKind === "scalar") return scalar(random, field);
  if (field.fieldKind === "enum") return random(9);
  if (field.fieldKind === "message") return content(random, field.message);
  if (field.fieldKind === "list") {
    const { length } = Array.from({ length: random(60) === 0 ? 3000 : random(4) });
    return Array.from({ length }, () =>
      field.listKind === "message" ? content(random, field.message) : pick(random, words),
    );
  }
  throw new Error(`the contract has no field like "${field.name}" yet: teach ${import.meta.filename}`);
}

function content(random: Random, message: DescMessage): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const member of message.members) {
    if (random(8) === 0) continue;
    if (member.kind === "field") {
      fields[member.localName] = fieldValue(random, member);
      continue;
    }
    const field = pick(random, member.fields);
    fields[member.localName] = { case: field.localName, value: fieldValue(random, field) };
  }
  return fields;
}

/** A message of this kind, with any content. */
export function anyMessage(random: Random, message: DescMessage): Buffer {
  return Buffer.from(toBinary(message, create(message, content(random, message))));
}

function envelope(flags: number, data: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

function refusal(random: Random): Buffer {
  const code = pick(random, ["not_found", "internal", "canceled", "deadline_exceeded", "nonsense", ""]);
  const error = { code, message: pick(random, words), details: [{ type: "x", value: "!" }] };
  return Buffer.from(pick(random, [JSON.stringify(error), "{", "[]", "null", '{"code":1}', "\u001b"]));
}

/** What the end of a stream of replies says. */
function streamEnd(random: Random): Buffer {
  const error = refusal(random).toString();
  const metadata = '{"x":["\\u001b"]}';
  return Buffer.from(pick(random, ["{}", "{}", `{"error":${error}}`, `{"metadata":${metadata}}`, "", "{", error]));
}

/** Replies for a method, one after another, as a guest sends them that keeps the framing (or does not, now and then). */
function body(random: Random, method: DescMethod): Buffer {
  const message = () => {
    const bytes = anyMessage(random, method.output);
    return random(4) === 0 ? damaged(random, bytes) : bytes;
  };
  if (method.methodKind === "unary" || method.methodKind === "client_streaming") {
    const one =
      method.methodKind === "unary"
        ? message()
        : Buffer.concat([envelope(0, message()), envelope(2, Buffer.from("{}"))]);
    return random(80) === 0 ? Buffer.alloc(5 * 1024 * 1024) : one;
  }
  const parts = Array.from({ length: random(6) }, () => envelope(random(10) === 0 ? random(256) : 0, message()));
  if (random(30) === 0) parts.push(envelope(0, Buffer.alloc(300 * 1024)));
  if (random(4) > 0) parts.push(envelope(2, streamEnd(random)));
  const whole = Buffer.concat(parts);
  return random(6) === 0 ? damaged(random, whole) : whole;
}

/** Headers of any kind, most of them as Connect wants them. */
function headersFor(random: Random, method: DescMethod): Record<string, string | number> {
  const honest = method.methodKind === "unary" ? "application/proto" : "application/connect+proto";
  const type = random(8) === 0 ? pick(random, ["text/html", "application/json", "application/grpc", "", "é"]) : honest;
  const more = random(10) === 0 ? { "content-encoding": pick(random, ["gzip", "identity", "br"]) } : {};
  const many =
    random(30) === 0 ? Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`x-${at}`, "y".repeat(200)])) : {};
  return {
    ":status": random(8) === 0 ? pick(random, [204, 301, 404, 500, 503, 599]) : 200,
    "content-type": type,
    ...more,
    ...many,
  };
}

/** Answers one call in some way. */
export function answer(random: Random, stream: ServerHttp2Stream, method: DescMethod): void {
  const mood = random(100);
  if (mood < 6) stream.close(random(15));
  else if (mood < 10) stream.session?.goaway(random(15), 0, noise(random, 40));
  else if (mood < 14) stream.session?.destroy();
  else speak(random, stream, method);
}

function speak(random: Random, stream: ServerHttp2Stream, method: DescMethod): void {
  const headers = headersFor(random, method);
  stream.respond(headers);
  stream.write(headers[":status"] === 200 || random(2) === 0 ? body(random, method) : refusal(random));
  const kind = random(10);
  if (kind === 0) stream.close(pick(random, [0, 1, 2, 8, 11]));
  else if (kind > 1) stream.end();
  // Else the guest says no more, and does not end either.
}

/** Answers one call as an honest agent does, with any content. */
export function honestAnswer(random: Random, stream: ServerHttp2Stream, method: DescMethod): void {
  const message = anyMessage(random, method.output);
  const unary = method.methodKind === "unary";
  stream.respond({ ":status": 200, "content-type": unary ? "application/proto" : "application/connect+proto" });
  stream.end(unary ? message : Buffer.concat([envelope(0, message), envelope(2, Buffer.from("{}"))]));
}
