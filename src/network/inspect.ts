// What one banger-netd says of the past and of what would be, in the words of the daemon's own contract.
import { Code, ConnectError } from "@connectrpc/connect";
import type { NetworkRecord, NetworkVerdict } from "../api/network-records.ts";
import { ask, failure, type NetdClient } from "./client.ts";
import { type Record as NetdRecord, Protocol, Record_Event, type Verdict } from "./gen/banger/netd/v1/netd_pb.js";

export interface CheckQuestion {
  host: string;
  port: number;
  protocol?: "tcp" | "udp" | "icmp" | undefined;
  /** Look the name up, too. */
  resolve?: boolean | undefined;
}

export interface CheckAnswer {
  verdict: NetworkVerdict;
  addresses: { address: string; verdict: NetworkVerdict }[];
  /** Why the name was not looked up, or could not be; else empty. */
  resolveFailure: string;
}

const protocols = { tcp: Protocol.TCP, udp: Protocol.UDP, icmp: Protocol.ICMP } as const;
const protocolNames: Partial<Record<Protocol, NetworkRecord["protocol"]>> = {
  [Protocol.TCP]: "tcp",
  [Protocol.UDP]: "udp",
  [Protocol.ICMP]: "icmp",
  [Protocol.DNS]: "dns",
};
const events: Partial<Record<Record_Event, NetworkRecord["event"]>> = {
  [Record_Event.DENIED]: "denied",
  [Record_Event.OPENED]: "opened",
  [Record_Event.CLOSED]: "closed",
  [Record_Event.RESOLVED]: "resolved",
  [Record_Event.FAILED]: "failed",
};

export async function checkConnection(
  client: NetdClient,
  { host, port, protocol = "tcp", resolve = false }: CheckQuestion,
  options: { signal: AbortSignal },
): Promise<CheckAnswer> {
  const reply = await ask("check", options, (call) =>
    client.check({ host, port, protocol: protocols[protocol], resolve }, call),
  );
  return {
    verdict: verdictOf(reply.verdict),
    addresses: reply.addresses.map((one) => ({ address: one.address, verdict: verdictOf(one.verdict) })),
    resolveFailure: reply.resolveFailure,
  };
}

/** Ends with the past, with `follow` when the network does. Throws `network.failed`. */
export async function* readLog(
  client: NetdClient,
  { after, follow, signal }: { after: number; follow: boolean; signal: AbortSignal },
): AsyncGenerator<NetworkRecord> {
  try {
    for await (const { records, missed } of client.watchLog({ follow, afterSequence: BigInt(after) }, { signal })) {
      const [first] = records;
      if (missed > 0n) yield missedRecord(missed, first);
      for (const record of records) yield recordOf(record);
    }
  } catch (error) {
    // Who follows to the end of a VM has seen all there is.
    if (signal.aborted || (follow && isOver(error))) return;
    throw failure("log", error);
  }
}

function isOver(error: unknown): boolean {
  return [Code.Aborted, Code.Canceled, Code.Unavailable].includes(ConnectError.from(error).code);
}

function recordOf(record: NetdRecord): NetworkRecord {
  return {
    sequence: Number(record.sequence),
    at: Number(record.timeUnixNanos / 1_000_000n),
    event: events[record.event] ?? "denied",
    protocol: protocolNames[record.protocol] ?? "tcp",
    flow: Number(record.flow),
    name: record.name,
    nameSource: record.nameSource,
    address: record.address,
    port: record.port,
    question: record.question,
    answers: record.answers,
    verdict: verdictOf(record.verdict),
    bytesUp: Number(record.bytesUp),
    bytesDown: Number(record.bytesDown),
    durationMs: Number(record.durationMs),
    secrets: record.secrets,
    repeated: Math.max(1, record.repeated),
    missed: 0,
  };
}

/** Stands for records that were dropped before they could be read. */
function missedRecord(missed: bigint, next: NetdRecord | undefined): NetworkRecord {
  const empty = { name: "", nameSource: "", address: "", port: 0, question: "", answers: [], secrets: [] };
  const numbers = { sequence: 0, flow: 0, bytesUp: 0, bytesDown: 0, durationMs: 0, repeated: 1 };
  const at = next === undefined ? Date.now() : Number(next.timeUnixNanos / 1_000_000n);
  return {
    at,
    event: "missed",
    protocol: "tcp",
    ...empty,
    ...numbers,
    verdict: verdictOf(undefined),
    missed: Number(missed),
  };
}

function verdictOf(verdict: Verdict | undefined): NetworkVerdict {
  const { allowed = false, rule = "", reason = "", suggestion = "" } = verdict ?? {};
  return { allowed, rule, reason, suggestion };
}
