// Guests that break the rules: the session ends with protocol=true, calls fail with guest.protocol, memory stays bounded.
import assert from "node:assert/strict";
import * as http2 from "node:http2";
import { duplexPair, Readable, Writable } from "node:stream";
import { test } from "node:test";
import { acknowledge, connectGuestTo, rawGuest } from "../../test/support/fake-guest.ts";
import { BangerError } from "../lib/errors.ts";
import type { GuestAgent } from "./agent.ts";
import { connectGuest } from "./connect.ts";
import { AgentService, Phase, ProcessService } from "./gen/banger/agent/v1/agent_pb.js";

const never = new AbortController().signal;

function discard(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

async function assertBroken(agent: GuestAgent, call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error: unknown) => error instanceof BangerError && error.code === "guest.protocol");
  const end = await agent.closed;
  assert.equal(end.protocol, true, end.reason);
}

/** A guest whose every answer to a call is this. */
async function answering(answer: (stream: http2.ServerHttp2Stream) => void): Promise<GuestAgent> {
  const [near, far] = duplexPair();
  far.on("error", () => {});
  const server = http2.createServer();
  server.on("sessionError", () => {});
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.on("error", () => {});
    answer(stream);
  });
  const served = acknowledge(far).then(() => server.emit("connection", far));
  const agent = await connectGuest(near, { signal: never });
  await served;
  return agent;
}

function frame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  return Buffer.concat([header, payload]);
}

test("garbage instead of HTTP/2", async () => {
  const { agent, far } = await rawGuest(never);
  const call = agent.hello({ signal: never });
  far.write(Buffer.alloc(4096, "garbage "));
  await assertBroken(agent, call);
});

test("frames that HTTP/2 forbids", async () => {
  const { agent, far } = await rawGuest(never);
  const call = agent.hello({ signal: never });
  // DATA on stream 0.
  far.write(Buffer.concat([frame(4, Buffer.alloc(0)), frame(0, Buffer.alloc(10))]));
  await assertBroken(agent, call);
});

for (const [name, type, length] of [
  ["SETTINGS", 4, 6],
  ["PING", 6, 8],
] as const) {
  test(`an endless flood of ${name} that reads nothing`, async () => {
    const { agent, far } = await rawGuest(never);
    const call = agent.hello({ signal: never });
    call.catch(() => {});
    far.write(frame(4, Buffer.alloc(0)));
    const flood = Buffer.concat(Array.from({ length: 100 }, () => frame(type, Buffer.alloc(length))));
    for (let round = 0; round < 1000 && !far.destroyed; round += 1) {
      far.write(flood);
      await new Promise(setImmediate);
      if (await Promise.race([agent.closed, Promise.resolve(undefined)])) break;
    }
    await assertBroken(agent, call);
  });
}

test("a unary reply without end", async () => {
  const agent = await answering((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/proto" });
    const more = () => {
      while (!stream.destroyed && stream.write(Buffer.alloc(65_536)));
    };
    stream.on("drain", more);
    more();
  });
  await assertBroken(agent, agent.hello({ signal: never }));
});

test("a stream message larger than the limit", async () => {
  const agent = await answering((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/connect+proto" });
    stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
  });
  await assertBroken(agent, agent.exec({ argv: ["x"], stdout: discard(), stderr: discard() }, { signal: never }));
});

test("a reply that is no message", async () => {
  const agent = await answering((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/proto" });
    stream.end(Buffer.alloc(100, 0xff));
  });
  await assertBroken(agent, agent.hello({ signal: never }));
});

test("a freeze and a thaw that are never answered last as long as their caller wants, and the next call goes on", async () => {
  const { agent } = await connectGuestTo(
    (router) =>
      router.service(AgentService, {
        freeze: () => new Promise(() => {}),
        thaw: () => new Promise(() => {}),
        health: () => ({ healthy: true }),
      }),
    never,
  );
  for (const call of ["freeze", "thaw"] as const) {
    const controller = new AbortController();
    const pending = agent[call]({ sync: true, signal: controller.signal });
    controller.abort(new BangerError("guest.unreachable", "the guest did not stop in time"));
    await assert.rejects(pending, /did not stop in time/);
  }
  assert.equal((await agent.health({ signal: never })).healthy, true);
  await agent[Symbol.asyncDispose]();
});

test("a reply of another content type", async () => {
  const agent = await answering((stream) => {
    stream.respond({ ":status": 200, "content-type": "text/html" });
    stream.end("<html>");
  });
  await assertBroken(agent, agent.hello({ signal: never }));
});

test("an exec without an exit status, and one with an impossible one", async () => {
  for (const code of [undefined, 256, -1]) {
    const { agent } = await connectGuestTo((router) => {
      router.service(ProcessService, {
        exec: async function* () {
          yield { message: { case: "startedPid", value: 1 } };
          if (code !== undefined) yield { message: { case: "exit", value: { code, signal: 0 } } };
        },
      });
    }, never);
    const { exited } = await agent.exec({ argv: ["x"], stdout: discard(), stderr: discard() }, { signal: never });
    await assertBroken(agent, exited);
  }
});

test("a flood of empty replies leaves others their turn", async () => {
  const empty = 50_000;
  const envelope = (flags: number, data: Buffer) => {
    const head = Buffer.from([flags, 0, 0, 0, data.length]);
    return Buffer.concat([head, data]);
  };
  const agent = await answering((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/connect+proto" });
    // started_pid = 1, then nothing, again and again, then exit = {}.
    stream.write(envelope(0, Buffer.from([0x08, 1])));
    stream.write(Buffer.alloc(5 * empty));
    stream.end(Buffer.concat([envelope(0, Buffer.from([0x22, 0])), envelope(2, Buffer.from("{}"))]));
  });
  const { exited } = await agent.exec({ argv: ["x"], stdout: discard(), stderr: discard() }, { signal: never });
  let turns = 0;
  const count = () => {
    turns += 1;
    ticking = setImmediate(count);
  };
  let ticking = setImmediate(count);
  await exited;
  clearImmediate(ticking);
  assert.ok(turns >= empty / 256, `${turns} turns of the event loop for ${empty} replies`);
  await agent[Symbol.asyncDispose]();
});

test("a call that has one reply gets no second one", async () => {
  let sent = 0;
  const agent = await answering((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/connect+proto" });
    const more = () => {
      while (!stream.destroyed && stream.write(Buffer.alloc(65_535))) sent += 65_535;
    };
    stream.on("drain", more);
    more();
  });
  await assertBroken(agent, agent.writeFile("/x", Readable.from(["content"]), { signal: never }));
  assert.ok(sent < 4 * 1024 * 1024, `${sent} bytes were taken`);
});

test("what a guest calls itself is cut and stripped before it is stored", async () => {
  const long = `\u001b[2J\n${"x".repeat(1_000_000)}`;
  const { agent } = await connectGuestTo((router) => {
    router.service(AgentService, {
      hello: () => ({ protocol: 1, phase: Phase.WAITING, bootId: long, agentVersion: long, vmId: long, failure: long }),
      configure: () => ({ steps: Array.from({ length: 100_000 }, () => ({ name: "\u001bstep", durationUs: 1 })) }),
      health: () => ({ healthy: false, reason: long, uptimeMs: 1n }),
    });
  }, never);
  const hello = await agent.hello({ signal: never });
  for (const text of [hello.bootId, hello.agentVersion, hello.vmId]) {
    assert.equal(text, `\uFFFD[2J\uFFFD${"x".repeat(195)}`);
  }
  assert.match(hello.failure, /^\uFFFD\[2J\nx{1995}…$/);
  assert.equal((await agent.health({ signal: never })).reason.length, 2001);
  const steps = await agent.configure(
    {
      vmId: "v",
      hostname: "v",
      disks: { base: "b", overlay: "o", work: "w" },
      ssh: { hostKeyPem: "", authorizedKeys: [] },
      environment: [],
      defaultUser: "root",
      defaultWorkdir: "/",
      bootId: "",
    },
    { signal: never },
  );
  assert.equal(steps.length, 64);
  assert.equal(steps[0]?.name, "\uFFFDstep");
  await agent[Symbol.asyncDispose]();
});

test("an unknown phase", async () => {
  const agent = await answering((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/proto" });
    // protocol = 1, phase = 99
    stream.end(Buffer.from([0x10, 1, 0x18, 99]));
  });
  await assertBroken(agent, agent.hello({ signal: never }));
});

test("a call that is closed without an answer is over, and the session goes on", async () => {
  let first = true;
  const agent = await answering((stream) => {
    if (first) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    else stream.respond({ ":status": 200, "content-type": "application/proto" }, { endStream: true });
    first = false;
  });
  await assert.rejects(agent.stats({ signal: never }), { code: "guest.failed" });
  assert.equal((await agent.stats({ signal: never })).processes, 0);
});
