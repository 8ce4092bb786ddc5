// DNS messages (RFC 1035, 6891): reads the one question of a query, writes a reply to it. Nothing of a message is trusted.

export const type = { a: 1, ns: 2, soa: 6, aaaa: 28, opt: 41, any: 255 } as const;
export const classIn = 1;
export const rcode = {
  noError: 0,
  formatError: 1,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

const headerBytes = 12;
const maxNameBytes = 255;
/** What we take over UDP: no reply of ours is longer. */
const udpBytes = 1232;

export interface Question {
  /** Labels as they were sent; bytes that are no ASCII stay bytes. */
  labels: string[];
  type: number;
  class: number;
}

export interface Query {
  id: number;
  opcode: number;
  recursionDesired: boolean;
  question: Question | undefined;
  /** Undefined: the query has no OPT record. */
  ednsVersion: number | undefined;
  /** The question as it was sent, for the reply. */
  raw: Buffer;
}

export interface Record {
  labels: readonly string[];
  type: number;
  /** Seconds. */
  ttl: number;
  data: Buffer;
}

/**
 * Undefined for what must not be answered at all: too short for a header, or itself a reply. A query that has a header only, or not exactly one
 * question, or is cut, has no `question`.
 */
export function readQuery(message: Buffer): Query | undefined {
  if (message.length < headerBytes) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return undefined;
  const query: Query = {
    id: message.readUInt16BE(0),
    opcode: (flags >> 11) & 15,
    recursionDesired: (flags & 0x0100) !== 0,
    question: undefined,
    ednsVersion: undefined,
    raw: Buffer.alloc(0),
  };
  const [questions, answers, authorities, additional] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  if (questions !== 1 || answers !== 0 || authorities !== 0) return query;
  const name = readName(message, headerBytes);
  if (name === undefined || name.end + 4 > message.length) return query;
  const edns = readEdns(message, name.end + 4, additional ?? 0);
  if (edns === "broken") return query;
  return {
    ...query,
    question: { labels: name.labels, type: message.readUInt16BE(name.end), class: message.readUInt16BE(name.end + 2) },
    ednsVersion: edns,
    raw: message.subarray(headerBytes, name.end + 4),
  };
}

/** A name without compression: in the first name of a message there is nothing to point at. */
function readName(message: Buffer, start: number): { labels: string[]; end: number } | undefined {
  const labels: string[] = [];
  for (let at = start; at < message.length && at - start < maxNameBytes;) {
    const length = message[at] ?? 0;
    at += 1;
    if (length === 0) return { labels, end: at };
    if (length > 63 || at + length > message.length) return undefined;
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
  return undefined;
}

/** Version of the OPT record among the last `count` records. */
function readEdns(message: Buffer, start: number, count: number): number | undefined | "broken" {
  let at = start;
  let version: number | undefined;
  for (let record = 0; record < count; record++) {
    while ((message[at] ?? 0) > 0 && (message[at] ?? 0) < 64) at += 1 + (message[at] ?? 0);
    // The name ends with an empty label, or with a pointer.
    at += (message[at] ?? 0) >= 0xc0 ? 2 : 1;
    if (at + 10 > message.length) return "broken";
    if (message.readUInt16BE(at) === type.opt) {
      if (version !== undefined) return "broken";
      version = message[at + 5] ?? 0;
    }
    at += 10 + message.readUInt16BE(at + 8);
    if (at > message.length) return "broken";
  }
  return version;
}

/** An authoritative reply; without a question it repeats none. `code` may be one of EDNS only when the query has it. */
export function writeReply(
  query: Query,
  reply: { code: number; authoritative: boolean; answers?: readonly Record[]; authorities?: readonly Record[] },
): Buffer {
  const { answers = [], authorities = [], authoritative, code } = reply;
  const edns = query.ednsVersion !== undefined;
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(query.id, 0);
  const flags = 0x8000 | (query.opcode << 11) | (authoritative ? 0x0400 : 0) | (query.recursionDesired ? 0x0100 : 0);
  header.writeUInt16BE(flags | (code & 15), 2);
  [query.question === undefined ? 0 : 1, answers.length, authorities.length, edns ? 1 : 0].forEach((count, at) =>
    header.writeUInt16BE(count, 4 + 2 * at),
  );
  const records = [...answers, ...authorities].map(writeRecord);
  return Buffer.concat([header, query.raw, ...records, ...(edns ? [optRecord(code >> 4)] : [])]);
}

function writeRecord(record: Record): Buffer {
  const name = writeName(record.labels);
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(record.type, 0);
  fixed.writeUInt16BE(classIn, 2);
  fixed.writeUInt32BE(record.ttl, 4);
  fixed.writeUInt16BE(record.data.length, 8);
  return Buffer.concat([name, fixed, record.data]);
}

export function writeName(labels: readonly string[]): Buffer {
  const parts = labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, "latin1")]));
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function optRecord(extendedCode: number): Buffer {
  const record = Buffer.alloc(11);
  record.writeUInt16BE(type.opt, 1);
  record.writeUInt16BE(udpBytes, 3);
  record[5] = extendedCode;
  return record;
}
