// What a machine's end and a guest that cuts its channel mean for the record of its VM.
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { GuestAgent } from "../guest/agent.ts";
import { BangerError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import type { Machine, MachineExit } from "../vmm/driver.ts";
import { endMachine, Sessions } from "./sessions.ts";

function machineOf(vmId: string) {
  const exit = Promise.withResolvers<MachineExit>();
  const machine = {
    vmId,
    exited: exit.promise,
    controlChannel: async () => new PassThrough(),
    async [Symbol.asyncDispose]() {},
  } as unknown as Machine;
  return { machine, end: (reason: string) => exit.resolve({ reason, expected: false }) };
}

function agentOf(closed: Promise<{ reason: string; protocol: boolean }>, disposed = Promise.resolve()): GuestAgent {
  return { closed, end() {}, whenLost() {}, [Symbol.asyncDispose]: () => disposed } as unknown as GuestAgent;
}
const open = new Promise<never>(() => {});

function setUp(reconnect: (signal: AbortSignal) => Promise<GuestAgent> = () => open) {
  const told: string[] = [];
  const news = Promise.withResolvers<string>();
  const tell = (text: string) => {
    told.push(text);
    news.resolve(text);
  };
  const events = {
    onExit: (vmId: string, reason: string) => tell(`${vmId} ended: ${reason}`),
    onBroken: (vmId: string, reason: string) => tell(`${vmId} broken: ${reason}`),
    whyEnded: (vmId: string, reason: string) => new BangerError("guest.unreachable", `${vmId} has ended: ${reason}`),
    reconnect: (_machine: Machine, { signal }: { signal: AbortSignal }) => reconnect(signal),
  };
  return { sessions: new Sessions(events, silentLogger), told, events, news: news.promise };
}

test("an end is told before a slow agent is let go of, so that it never lands on the VM's next machine", async () => {
  const { sessions, told, news } = setUp();
  const slow = Promise.withResolvers<void>();
  const first = machineOf("v");
  sessions.adopt(first.machine, agentOf(open, slow.promise));
  first.end("crashed");
  await news;
  const second = sessions.adopt(machineOf("v").machine, agentOf(open));
  slow.resolve();
  await new Promise(setImmediate);
  assert.deepEqual(told, ["v ended: crashed"]);
  assert.equal(sessions.get("v"), second);
});

test("an end that a verb asked for has no reason", async () => {
  const { sessions, news } = setUp();
  const { machine, end } = machineOf("v");
  sessions.adopt(machine, agentOf(open)).ending = true;
  end("killed");
  assert.equal(await news, "v ended: ");
  assert.equal(sessions.size, 0);
});

test("a guest that cuts its channel at once, each time, is broken and not taken up for ever", async () => {
  let reconnects = 0;
  const cut = Promise.resolve({ reason: "cut", protocol: false });
  const { sessions, news } = setUp(async () => {
    reconnects++;
    return agentOf(cut);
  });
  sessions.adopt(machineOf("v").machine, agentOf(cut));
  assert.match(await news, /^v broken: the control channel was cut 6 times within 60 s: cut$/);
  assert.equal(reconnects, 5);
});

test("who waits for a guest is told why its machine ended, and so is who was cut off by it", async () => {
  const told = { code: "guest.unreachable", message: "v has ended: crashed" };
  const unreached = setUp(async () => {
    throw new BangerError("guest.unreachable", "the guest's channel closed");
  });
  const first = machineOf("v");
  const waiting = unreached.sessions.adopt(first.machine).agent;
  first.end("crashed");
  await assert.rejects(waiting, told);

  let askWhy: (() => Promise<BangerError | undefined>) | undefined;
  const agent = agentOf(open);
  agent.whenLost = (why) => void (askWhy = why);
  const second = machineOf("v");
  const { ended } = setUp().sessions.adopt(second.machine, agent);
  await new Promise(setImmediate);
  const why = askWhy?.();
  second.end("crashed");
  const error = await why;
  assert.deepEqual([error?.code, error?.message], [told.code, told.message]);
  assert.equal(ended.signal.reason, error);
});

test("a verb that ends a machine says why, also before it has ended", async () => {
  const { sessions } = setUp(() => open);
  const { machine, end } = machineOf("v");
  machine.kill = async () => end("killed");
  const session = sessions.adopt(machine);
  const why = new BangerError("guest.unreachable", "it was deleted");
  const ended = endMachine(session, why);
  assert.equal(session.ended.signal.reason, why);
  await ended;
});

test("a record that cannot be written ends nothing", async () => {
  const { sessions, events } = setUp();
  const called = Promise.withResolvers<void>();
  events.onExit = () => {
    called.resolve();
    throw new Error("the disk is full");
  };
  const { machine, end } = machineOf("v");
  sessions.adopt(machine, agentOf(open));
  end("crashed");
  await called.promise;
  // An unhandled rejection would fail this file.
  await new Promise(setImmediate);
});

test("letting go of all machines waits for no guest that does not answer", async () => {
  const { sessions } = setUp(async (signal) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    throw signal.reason;
  });
  sessions.adopt(machineOf("v").machine);
  await sessions.close();
});
