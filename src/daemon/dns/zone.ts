// The zone "vm": what is answered to which question. Authoritative for it, and for nothing else.
import { classIn, rcode, readQuery, type, writeName, writeReply, type Query, type Record } from "./message.ts";

const zone = "vm";
/** VMs come and go: nobody should remember an answer for longer. Seconds. */
const ttl = 5;

/** Address of the VM of that name; undefined when there is none. */
export type Lookup = (name: string) => string | undefined;

/** The reply to a message; undefined when it gets none. */
export function answer(message: Buffer, lookup: Lookup): Buffer | undefined {
  const query = readQuery(message);
  if (query === undefined) return undefined;
  const { question, ednsVersion, opcode } = query;
  const plain = (code: number) => writeReply(query, { code, authoritative: false });
  if (opcode !== 0) return plain(rcode.notImplemented);
  if (question === undefined) return plain(rcode.formatError);
  if (ednsVersion !== undefined && ednsVersion > 0) return plain(rcode.badVersion);
  const labels = question.labels.map((label) => label.toLowerCase());
  if (labels.at(-1) !== zone || question.class !== classIn) return plain(rcode.refused);
  return answerInZone(query, question.labels, labels.slice(0, -1), question.type, lookup);
}

function answerInZone(
  query: Query,
  asked: readonly string[],
  below: readonly string[],
  wanted: number,
  lookup: Lookup,
): Buffer {
  const found = (answers: Record[], code: number = rcode.noError) =>
    writeReply(query, {
      code,
      authoritative: true,
      answers,
      // Says how long it may be remembered that there is nothing.
      authorities: answers.length === 0 ? [soa([zone])] : [],
    });
  const [name = "", ...deeper] = below;
  if (below.length === 0) {
    if (wanted === type.soa || wanted === type.any) return found([soa(asked)]);
    return found(wanted === type.ns ? [{ labels: asked, type: type.ns, ttl, data: writeName([zone]) }] : []);
  }
  const address = deeper.length === 0 ? lookup(name) : undefined;
  if (address === undefined) return found([], rcode.nameError);
  if (wanted !== type.a && wanted !== type.any) return found([]);
  return found([{ labels: asked, type: type.a, ttl, data: Buffer.from(address.split(".").map(Number)) }]);
}

function soa(labels: readonly string[]): Record {
  const numbers = Buffer.alloc(20);
  // Serial, refresh, retry, expire, and how long a negative answer may be remembered.
  [1, 3600, 600, 86_400, ttl].forEach((value, at) => numbers.writeUInt32BE(value, 4 * at));
  return {
    labels,
    type: type.soa,
    ttl,
    data: Buffer.concat([writeName([zone]), writeName(["banger", zone]), numbers]),
  };
}
