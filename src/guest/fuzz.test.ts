// Random bytes and replies from a guest: every call ends with a clean result or a BangerError, and the session goes on or is over.
import type { DescMethod } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import * as http2 from "node:http2";
import { duplexPair, Readable, Transform, Writable } from "node:stream";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { acknowledge } from "../../test/support/fake-guest.ts";
import { BangerError } from "../lib/errors.ts";
import { fuzz, pick } from "../lib/testdata/fuzz.ts";
import type { Random } from "../lib/testdata/fuzz.ts";
import type { GuestAgent } from "./agent.ts";
import { connectGuest } from "./connect.ts";
import { FrameGuard } from "./frame-guard.ts";
import {
  AgentService,
  FileService,
  InspectService,
  PortService,
  ProcessService,
} from "./gen/banger/agent/v1/agent_pb.js";
import { shakeHands } from "./handshake.ts";
import { answer, damaged, honestAnswer, noise } from "./testdata/random-reply.ts";

const never = new AbortController().signal;
const maxFrameBytes = 65_536;
/** Nothing here waits for a timer of this length unless something hangs. */
const hangMs = 20_000;

const methods = new Map(
  [AgentService, FileService, InspectService, PortService, ProcessService].flatMap((service) =>
    service.methods.map((method) => [`/${service.typeName}/${method.name}`, method]),
  ),
);

async function inTime<T>(what: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`waited ${hangMs} ms for ${what}`)), hangMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Writes bytes in pieces of random length; true when the reader is gone before the end. */
async function writePieces(random: Random, to: Duplex, bytes: Buffer, reader: Duplex): Promise<boolean> {
  for (let offset = 0; offset < bytes.length;) {
    const length = 1 + random(pick(random, [3, 100, 70_000]));
    to.write(bytes.subarray(offset, offset + length));
    offset += length;
    if (random(4) === 0) await new Promise(setImmediate);
    if (reader.destroyed) return true;
  }
  return false;
}

/** Text of errors and names is shown to people. */
function assertClean(text: string, what: string): void {
  assert.doesNotMatch(text, /[^\P{Cc}\n\t]|\p{Cf}/u, `${what} has control characters`);
  assert.ok(text.length < 3000, `${what} has ${text.length} characters`);
}

function assertOwnError(error: unknown): asserts error is BangerError {
  assert.ok(error instanceof BangerError, `no BangerError: ${String(error)}`);
  assert.match(error.code, /^(guest|exec|file)\.|^(cancelled|timeout)$/, error.message);
  assertClean(error.message, "an error");
}

fuzz("handshake", 200, async (random) => {
  const [near, far] = duplexPair();
  const cancel = new AbortController();
  const ending = pick(random, ["ack", "ack", "flood", "end", "abort"] as const);
  const behind = noise(random, 300);
  let seen = "";
  far.on("data", (chunk: Buffer) => {
    seen += chunk.toString("latin1");
    const last = [...seen.matchAll(/BANGER\/1 SYN ([0-9a-f]{32}) (\d+)\n/g)].at(-1);
    if (last === undefined) return;
    const [, nonce = "", count = ""] = last;
    const almost = [
      `\nBANGER/1 ACK ${nonce} 0\n`,
      `\nBANGER/1 SYN ${nonce} ${count}\n`,
      `\nBANGER/1 ACK ${"0".repeat(32)} ${count}\n`,
      `\nBANGER/1 ACK ${nonce} ${count}`.slice(0, -1),
      "\n".repeat(50),
    ];
    far.write(Buffer.concat([Buffer.from(pick(random, almost)), noise(random, 500)]));
    if (ending === "ack") far.write(Buffer.concat([Buffer.from(`\nBANGER/1 ACK ${nonce} ${count}\n`), behind]));
    else if (ending === "flood")
      far.write(Buffer.alloc(1_100_000, pick(random, ["\n", "B", `\nBANGER/1 ACK ${nonce} `])));
    else if (ending === "end") far.end();
    else cancel.abort();
    seen = "";
  });
  const outcome = await inTime(
    "the handshake",
    shakeHands(near, cancel.signal).then(
      () => "ack",
      (error: unknown) => (assertOwnError(error), error.code),
    ),
  );
  assert.equal(outcome, { ack: "ack", flood: "guest.protocol", end: "guest.unreachable", abort: "cancelled" }[ending]);
  for (const event of ["data", "drain"]) assert.equal(near.listenerCount(event), 0, event);
  if (ending === "ack") {
    far.end();
    const rest = await buffer(near);
    assert.deepEqual(rest.subarray(0, behind.length), behind);
  }
  near.destroy();
  far.destroy();
});

fuzz("frame guard", 200, async (random) => {
  const frames: Buffer[] = [];
  let cost = 0;
  let tooLarge = false;
  for (let count = random(300); count > 0 && !tooLarge; count -= 1) {
    const type = random(12);
    const length = random(150) === 0 ? random(2 ** 24) : random(pick(random, [2, 40, 3000]));
    const flags = random(256);
    const head = Buffer.from([0, 0, 0, type, flags, ...noise(random, 0), 0, 0, 0, random(256)]);
    head.writeUIntBE(length, 0, 3);
    tooLarge = length > maxFrameBytes;
    const useful = type === 0 && ((length > 0 && (flags & 8) === 0) || (flags & 1) !== 0);
    cost += useful ? 0 : type === 4 || type === 6 ? 100 : 1;
    frames.push(head, Buffer.alloc(tooLarge ? 0 : length));
  }
  const flood = !tooLarge && random(6) === 0;
  if (flood) {
    const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, ...Buffer.alloc(8)]);
    frames.push(Buffer.concat(Array.from({ length: 2000 }, () => ping)));
  }
  const bytes = Buffer.concat(frames);
  const [near, far] = duplexPair();
  far.resume().on("error", () => {});
  const guard = new FrameGuard(near, { maxFrameBytes });
  const out: Buffer[] = [];
  guard.on("data", (chunk: Buffer) => out.push(chunk));
  const closed = Promise.withResolvers<unknown>();
  guard.on("error", closed.resolve).on("close", () => closed.resolve(undefined));
  await writePieces(random, far, bytes, guard);
  far.end();
  const error = await inTime("the guard's end", closed.promise);
  if (flood || tooLarge) assert.equal((error as BangerError | undefined)?.code, "guest.protocol");
  else if (cost < 40_000) assert.equal(error, undefined);
  const passed = Buffer.concat(out);
  assert.ok(bytes.subarray(0, passed.length).equals(passed), "bytes were changed");
  if (error === undefined) assert.equal(passed.length, bytes.length);
});

/** A guest whose agent answers by `reply`, over a channel whose bytes towards the host pass through `wire`. */
async function guest(
  reply: (stream: http2.ServerHttp2Stream, method: DescMethod) => void,
  wire?: Transform,
): Promise<{ agent: GuestAgent; end: () => Promise<void> }> {
  const [near, far] = duplexPair();
  const server = http2.createServer();
  server.on("sessionError", () => {});
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on("error", () => {});
    stream.resume();
    const method = methods.get(String(headers[":path"]));
    assert.ok(method !== undefined, `${headers[":path"]} is no method`);
    try {
      reply(stream, method);
    } catch (error) {
      // Node refuses to send some of it.
      if (!String((error as NodeJS.ErrnoException).code).startsWith("ERR_")) throw error;
      stream.destroy();
    }
  });
  far.on("error", () => {});
  const served = acknowledge(far).then(() => {
    if (wire === undefined) return server.emit("connection", far);
    const [left, right] = duplexPair();
    for (const stream of [left, right, wire]) stream.on("error", () => far.destroy());
    far.on("close", () => [left, right, wire].forEach((stream) => stream.destroy()));
    far.pipe(left);
    left.pipe(wire).pipe(far);
    return server.emit("connection", right);
  });
  const agent = await connectGuest(near, { signal: never });
  await served;
  return {
    agent,
    end: async () => {
      await agent[Symbol.asyncDispose]();
      far.destroy();
    },
  };
}

/** Counts what comes, and takes it. */
class Taken extends Writable {
  bytes = 0;
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.bytes += chunk.length;
    done();
  }
}

const config = {
  vmId: "v",
  hostname: "v",
  disks: { base: "b", overlay: "o", work: "w" },
  ssh: { hostKeyPem: "", authorizedKeys: [] },
  environment: [],
  defaultUser: "",
  defaultWorkdir: "",
  bootId: "",
};

type Call = (agent: GuestAgent, signal: AbortSignal) => Promise<unknown>;

const input = () => Readable.from([Buffer.alloc(100_000), Buffer.from("end")]);

async function taken(stream: Readable): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream) bytes += (chunk as Buffer).length;
  return bytes;
}

const calls: Record<string, Call> = {
  hello: (agent, signal) => agent.hello({ signal }),
  configure: (agent, signal) => agent.configure(config, { signal }),
  freeze: (agent, signal) => agent.freeze({ sync: true, signal }),
  thaw: (agent, signal) => agent.thaw({ identity: config, signal }),
  health: (agent, signal) => agent.health({ signal }),
  stats: (agent, signal) => agent.stats({ signal }),
  growDisks: (agent, signal) => agent.growDisks({ overlayBytes: 1, signal }),
  shutdown: (agent, signal) => agent.shutdown({ signal }),
  processes: (agent, signal) => agent.processes({ intervalMs: 0, signal }),
  listeners: async (agent, signal) => {
    let last: unknown;
    for await (last of agent.listeners({ follow: true, signal }));
    return last;
  },
  exec: async (agent, signal) => {
    const stdout = new Taken();
    const { exited } = await agent.exec({ argv: ["x"], stdin: input(), stdout, stderr: new Taken() }, { signal });
    const { code } = await exited;
    assert.ok(code >= 0 && code <= 255, `exit code ${code}`);
    return code;
  },
  stat: async (agent, signal) => void (await agent.stat("/x", { signal })),
  list: async (agent, signal) => void (await agent.list("/x", { signal })),
  readFile: async (agent, signal) => await taken(await agent.readFile("/x", { signal })),
  readTar: async (agent, signal) => await taken(await agent.readTar("/x", { signal })),
  writeFile: (agent, signal) => agent.writeFile("/x", input(), { signal }),
  writeTar: (agent, signal) => agent.writeTar("/x", input(), { signal }),
  dial: async (agent, signal) => {
    const connection = await agent.dial({ tcp: "80" }, { signal });
    connection.on("error", () => {});
    connection.end("request");
    return await taken(connection);
  },
};

/** What is shown to people, stored, or counted with. */
function assertBounded(value: unknown, name: string): void {
  if (typeof value === "string") assertClean(value, name);
  else if (typeof value === "number") assert.ok(Number.isFinite(value), `${name} is ${value}`);
  else if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    assert.ok(entries.length <= 1000, `${name} has ${entries.length} entries`);
    for (const [key, part] of entries) assertBounded(part, `${name}.${key}`);
  }
}

/** One call, cancelled when the guest has nothing more to say. */
async function settles(name: string, agent: GuestAgent, said: () => boolean): Promise<void> {
  const cancel = new AbortController();
  const state = { settled: false };
  const outcome = (calls[name] as Call)(agent, cancel.signal).then(
    (value) => assertBounded(value, name),
    (error: unknown) => assertOwnError(error),
  );
  const done = outcome.finally(() => (state.settled = true));
  done.catch(() => {});
  const heard = async () => {
    for (let turns = 0; !state.settled && turns < 60; turns += said() ? 1 : 0) await new Promise(setImmediate);
  };
  await inTime(`the guest to hear of ${name}`, heard());
  cancel.abort();
  await inTime(`${name} to end`, done);
}

fuzz("replies to every method", 200, async (random) => {
  let hostile = true;
  let answered = false;
  const { agent, end } = await guest((stream, method) => {
    answered = true;
    if (hostile) answer(random, stream, method);
    else honestAnswer(random, stream, method);
  });
  const over = agent.closed.then(() => true);
  await settles(pick(random, Object.keys(calls)), agent, () => answered);
  if (await Promise.race([over, new Promise((done) => setImmediate(done, false))])) {
    assertClean((await agent.closed).reason, "the reason of the end");
    await assert.rejects(agent.hello({ signal: never }), BangerError);
  } else {
    hostile = false;
    // The content is anything, too: what counts is that an answer comes.
    await settles("freeze", agent, () => true);
  }
  await end();
});

fuzz("damaged bytes behind an honest handshake", 150, async (random) => {
  let left = 1 + random(4);
  const wire = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const hit = left > 0 && random(3) === 0;
      if (hit) left -= 1;
      done(null, hit ? damaged(random, chunk) : chunk);
    },
  });
  let answered = false;
  const { agent, end } = await guest((stream, method) => {
    answered = true;
    honestAnswer(random, stream, method);
  }, wire);
  let turns = 0;
  await settles(pick(random, Object.keys(calls)), agent, () => answered || (turns += 1) > 200);
  await end();
});
