// The session with a guest that keeps to the contract, in this process: errors, cancellation, backpressure, clean ends.
import { Code, ConnectError } from "@connectrpc/connect";
import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { connectGuestTo } from "../../test/support/fake-guest.ts";
import { BangerError } from "../lib/errors.ts";
import { AgentService, FileService, PortService, ProcessService } from "./gen/banger/agent/v1/agent_pb.js";

const never = new AbortController().signal;
const forever = new Promise<never>(() => {});

function is(code: string, pattern = /./) {
  return (error: unknown) => {
    assert.ok(error instanceof BangerError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  };
}

function discard(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise(setImmediate);
}

test("gives the agent's refusals the code of their kind, and its words without control characters", async () => {
  const guest = await connectGuestTo((router) => {
    router.service(FileService, {
      stat: () => {
        throw new ConnectError('"/x": no such \u001b[31mfile', Code.NotFound);
      },
      read: () => {
        throw new ConnectError("is a directory", Code.FailedPrecondition);
      },
    });
    router.service(ProcessService, {
      exec: () => {
        throw new ConnectError('command "nope": not found', Code.NotFound);
      },
    });
  }, never);
  await using agent = guest.agent;
  await assert.rejects(agent.stat("/x", { signal: never }), is("file.not-found", /^"\/x": no such �\[31mfile$/));
  await assert.rejects(agent.readFile("/x", { signal: never }), is("file.failed", /directory/));
  await assert.rejects(agent.list("/x", { signal: never }), is("file.failed"));
  await assert.rejects(agent.stats({ signal: never }), is("guest.failed"));
  const spec = { argv: ["nope"], stdout: discard(), stderr: discard() };
  await assert.rejects(agent.exec(spec, { signal: never }), is("exec.not-found", /nope/));
});

test("an exec ends although its stdin never closes, and leaves no call behind", async () => {
  const guest = await connectGuestTo((router) => {
    router.service(ProcessService, {
      exec: async function* () {
        yield { message: { case: "startedPid", value: 7 } };
        yield { message: { case: "stdout", value: Buffer.from("out") } };
        yield { message: { case: "stderr", value: Buffer.from("err") } };
        yield { message: { case: "exit", value: { code: 137, signal: 9 } } };
      },
    });
  }, never);
  await using agent = guest.agent;
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const handle = await agent.exec({ argv: ["x"], stdin, stdout, stderr }, { signal: never });
  assert.deepEqual(await handle.exited, { code: 137, signal: 9 });
  assert.equal(String(stdout.read()), "out");
  assert.equal(String(stderr.read()), "err");
  assert.equal(stdin.destroyed, false);
  assert.equal(stdin.listenerCount("data"), 0);
  await guest.closing();
});

test("an abort ends its own call only, with the reason of the signal", async () => {
  const guest = await connectGuestTo((router) => {
    router.service(AgentService, {
      health: () => forever,
      stats: () => ({ processes: 3 }),
    });
    router.service(ProcessService, {
      exec: async function* () {
        yield { message: { case: "startedPid", value: 7 } };
        await forever;
      },
    });
  }, never);
  await using agent = guest.agent;
  const controller = new AbortController();
  const health = agent.health({ signal: controller.signal });
  const { exited } = await agent.exec(
    { argv: ["x"], stdout: discard(), stderr: discard() },
    { signal: controller.signal },
  );
  controller.abort(new BangerError("daemon.shutting-down", "bye"));
  await assert.rejects(health, is("daemon.shutting-down"));
  await assert.rejects(exited, is("daemon.shutting-down"));
  await assert.rejects(agent.stats({ signal: AbortSignal.abort() }), is("cancelled"));
  assert.equal((await agent.stats({ signal: never })).processes, 3);
});

test("a lost channel ends every call as unreachable, and is no fault of the guest", async () => {
  const guest = await connectGuestTo((router) => {
    router.service(AgentService, { health: () => forever });
    router.service(ProcessService, {
      exec: async function* () {
        yield { message: { case: "startedPid", value: 7 } };
        await forever;
      },
    });
  }, never);
  const { agent } = guest;
  const health = agent.health({ signal: never });
  const { exited } = await agent.exec({ argv: ["x"], stdout: discard(), stderr: discard() }, { signal: never });
  guest.far.destroy();
  guest.near.destroy();
  await assert.rejects(health, is("guest.unreachable"));
  await assert.rejects(exited, is("guest.unreachable"));
  assert.equal((await agent.closed).protocol, false);
  await assert.rejects(agent.hello({ signal: never }), is("guest.unreachable"));
});

test("who knows why the channel broke, or ends the session, says what calls under way fail with", async () => {
  const why = new BangerError("guest.unreachable", 'VM "box" was stopped', { hint: "banger vm start box" });
  const told = { code: why.code, message: why.message, hint: why.hint };
  for (const end of ["broken", "ended"] as const) {
    const guest = await connectGuestTo((router) => {
      router.service(AgentService, { health: () => forever });
    }, never);
    const { agent } = guest;
    const health = agent.health({ signal: never });
    health.catch(() => {});
    if (end === "ended") agent.end(why);
    else {
      agent.whenLost(async () => why);
      guest.far.destroy();
      guest.near.destroy();
    }
    await assert.rejects(health, told, end);
    await assert.rejects(agent.hello({ signal: never }), told, end);
  }
});

test("a guest that does not take an upload stops its source", async () => {
  const guest = await connectGuestTo((router) => {
    router.service(FileService, { write: () => forever });
  }, never);
  await using agent = guest.agent;
  let readBytes = 0;
  const content = new Readable({
    read() {
      readBytes += 65_536;
      this.push(Buffer.alloc(65_536));
    },
  });
  const controller = new AbortController();
  const written = agent.writeFile("/big", content, { signal: controller.signal });
  written.catch(() => {});
  await turns(500);
  assert.ok(readBytes < 4 * 1024 * 1024, `${readBytes} bytes were read ahead`);
  controller.abort();
  await assert.rejects(written, is("cancelled"));
  assert.equal(content.destroyed, true);
});

test("a download that nobody reads stops the guest, and ends it when destroyed", async () => {
  let sentBytes = 0;
  const guest = await connectGuestTo((router) => {
    router.service(FileService, {
      readTar: async function* () {
        for (;;) {
          sentBytes += 65_536;
          yield { data: new Uint8Array(65_536) };
        }
      },
      stat: () => ({ info: { name: Buffer.from("a"), sizeBytes: 5n, modifiedUnixNanos: 1_500_000_000n } }),
    });
  }, never);
  await using agent = guest.agent;
  const tar = await agent.readTar("/", { signal: never });
  await turns(500);
  assert.ok(sentBytes < 4 * 1024 * 1024, `${sentBytes} bytes were sent ahead`);
  const info = await agent.stat("/a", { signal: never });
  assert.deepEqual([info.sizeBytes, info.modifiedMs], [5, 1500]);
  tar.destroy();
  await guest.closing();
});

test("an output that is full stops the process's output", async () => {
  let sentBytes = 0;
  const guest = await connectGuestTo((router) => {
    router.service(ProcessService, {
      exec: async function* () {
        yield { message: { case: "startedPid", value: 7 } };
        for (; sentBytes < 16 * 1024 * 1024; sentBytes += 65_536) {
          yield { message: { case: "stdout", value: new Uint8Array(65_536) } };
        }
        yield { message: { case: "exit", value: { code: 0, signal: 0 } } };
      },
    });
  }, never);
  await using agent = guest.agent;
  const stdout = new PassThrough();
  const { exited } = await agent.exec({ argv: ["yes"], stdout, stderr: discard() }, { signal: never });
  await turns(500);
  assert.ok(sentBytes < 4 * 1024 * 1024, `${sentBytes} bytes were sent ahead`);
  let received = 0;
  stdout.on("data", (chunk: Buffer) => (received += chunk.length));
  assert.deepEqual(await exited, { code: 0, signal: 0 });
  assert.equal(received, 16 * 1024 * 1024);
});

test("an output that closes ends the process", async () => {
  const guest = await connectGuestTo((router) => {
    router.service(ProcessService, {
      exec: async function* () {
        yield { message: { case: "startedPid", value: 7 } };
        for (;;) {
          yield { message: { case: "stdout", value: new Uint8Array(1024) } };
          await new Promise(setImmediate);
        }
      },
    });
  }, never);
  await using agent = guest.agent;
  const stdout = new PassThrough();
  stdout.on("error", () => {});
  const { exited } = await agent.exec({ argv: ["yes"], stdout, stderr: discard() }, { signal: never });
  stdout.destroy();
  await assert.rejects(exited);
  await guest.closing();
});

test("a content that fails cancels the upload with its own error", async () => {
  const cancelled = Promise.withResolvers<void>();
  let complete = false;
  const guest = await connectGuestTo((router) => {
    router.service(FileService, {
      async write(requests, context) {
        context.signal.addEventListener("abort", () => cancelled.resolve());
        for await (const _ of requests);
        complete = true;
        return {};
      },
    });
  }, never);
  await using agent = guest.agent;
  const content = Readable.from(
    (async function* () {
      yield Buffer.alloc(10);
      await turns(20);
      throw new Error("disk on fire");
    })(),
  );
  await assert.rejects(agent.writeFile("/x", content, { signal: never }), /disk on fire/);
  await cancelled.promise;
  await guest.closing();
  assert.equal(complete, false);
});

test("a connection closes one direction after the other", async () => {
  const guest = await connectGuestTo((router) => {
    router.service(PortService, {
      dial: async function* (requests) {
        let heard = "";
        for await (const { message } of requests) {
          if (message.case === "target") yield { message: { case: "connected", value: true } };
          else if (message.case === "data") heard += Buffer.from(message.value).toString();
          else if (message.case === "eof") break;
        }
        yield { message: { case: "data", value: Buffer.from(`heard ${heard}`) } };
        yield { message: { case: "eof", value: true } };
      },
    });
  }, never);
  await using agent = guest.agent;
  const connection = await agent.dial({ tcp: "80" }, { signal: never });
  connection.write("a");
  connection.end("b");
  assert.equal(await text(connection), "heard ab");
  await guest.closing();
});

test("a connection that the guest closes can still be written to until its end was read", async () => {
  const guest = await connectGuestTo((router) => {
    router.service(PortService, {
      dial: async function* () {
        yield { message: { case: "connected", value: true } };
        yield { message: { case: "data", value: Buffer.from("bye") } };
      },
    });
  }, never);
  await using agent = guest.agent;
  const connection = await agent.dial({ unix: "/run/x" }, { signal: never });
  connection.on("error", () => {});
  await guest.closing();
  connection.write(Buffer.alloc(1_000_000));
  const [data] = (await once(connection, "data")) as [Buffer];
  assert.equal(data.toString(), "bye");
  await once(connection, "end");
  connection.destroy();
});

test("sends what is to grow, and the identity for git only when there is one", async () => {
  const seen: unknown[] = [];
  const guest = await connectGuestTo((router) => {
    router.service(AgentService, {
      growDisks: ({ overlayBytes, workBytes }) => {
        seen.push([overlayBytes, workBytes]);
        return {};
      },
      configure: ({ gitIdentity }) => {
        seen.push(gitIdentity && [gitIdentity.name, gitIdentity.email]);
        return {};
      },
    });
  }, never);
  await using agent = guest.agent;
  await agent.growDisks({ workBytes: 2 ** 40, signal: never });
  const config = {
    ...{ vmId: "a", hostname: "a", disks: { base: "b", overlay: "o", work: "w" }, environment: [], bootId: "" },
    ...{ ssh: { hostKeyPem: "", authorizedKeys: [] }, defaultUser: "", defaultWorkdir: "" },
  };
  await agent.configure(config, { signal: never });
  await agent.configure({ ...config, git: { name: "Ada", email: "" } }, { signal: never });
  assert.deepEqual(seen, [[0n, 2n ** 40n], undefined, ["Ada", ""]]);
});
