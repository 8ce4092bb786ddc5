// Services for a daemon without machines: one VM "box" whose agent runs processes on the host. The state is real.
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { addAbortSignal, PassThrough, Readable } from "node:stream";
import { join } from "node:path";
import type { VmRecord } from "../../../src/api/records.ts";
import { fakeVm } from "../../../src/api/testdata/vm-record.ts";
import type { PartsOptions } from "../../../src/daemon/main.ts";
import type { Images, Kernels, Services, Vms } from "../../../src/daemon/services.ts";
import type { ExecSpec, GuestAgent } from "../../../src/guest/agent.ts";
import { BangerError } from "../../../src/lib/errors.ts";
import { newId } from "../../../src/lib/ids.ts";
import type { Progress } from "../../../src/lib/progress.ts";
import { Activity } from "../../../src/vm/activity.ts";
import { openState } from "../../../src/state/open.ts";

export async function openFakeServices({ paths, config }: PartsOptions): Promise<Services> {
  const state = openState(paths.databaseFile);
  const vms = new Map<string, VmRecord>([["box", record("box", false, paths.stateDir)]]);
  const find = (ref: string) => {
    const found = [...vms.values()].find((vm) => vm.name === ref || vm.id === ref);
    if (found === undefined) throw new BangerError("vm.not-found", `there is no VM "${ref}"`);
    return found;
  };
  const verb = async (ref: string) => find(ref);
  const fakeVms: Vms = {
    list: () => [...vms.values()],
    show: find,
    async create(params, progress) {
      const made = record(params.name ?? "made", params.autoRemove ?? false, paths.stateDir);
      await slowly(params.image === "never" ? Number.POSITIVE_INFINITY : 2, progress);
      vms.set(made.name, made);
      return made;
    },
    start: verb,
    stop: verb,
    restart: verb,
    kill: verb,
    async delete(ref) {
      vms.delete(find(ref).name);
    },
    agent: async (ref) => ({ record: find(ref), agent: hostAgent, ended: new AbortController().signal }),
    pause: verb,
    resume: verb,
    health: async () => ({ healthy: true, reason: "", uptimeMs: 1 }),
    async set(ref, { vcpus, memoryMib }) {
      const vm = find(ref);
      const spec = { ...vm.spec, vcpus: vcpus ?? vm.spec.vcpus, memoryMib: memoryMib ?? vm.spec.memoryMib };
      const changed = { ...vm, spec };
      vms.set(vm.name, changed);
      return { vm: changed, atNextStart: vm.state === "running" ? ["vcpus"] : [] };
    },
    rename(ref, name) {
      const renamed = { ...find(ref), name };
      vms.delete(find(ref).name);
      vms.set(name, renamed);
      return renamed;
    },
    activity: new Activity(),
    label: find,
    touch: find,
    onChange: () => ({ [Symbol.dispose]() {} }),
    wait: verb,
    async *events(_ref, signal) {
      yield { at: Date.now(), kind: "subscribed", vm: null };
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
    recover: async () => {},
    endAll: async () => {},
    close: async () => {},
    runningCount: () => vms.size,
  };
  return {
    vms: fakeVms,
    looks: {
      consoleLog: () => join(paths.stateDir, "console.log"),
      async ssh(ref) {
        const { id, name } = find(ref);
        return { vmId: id, name, identityFile: "", knownHostsFile: "", hostAlias: "" };
      },
      stats: async () => [],
      ports: async function* () {},
    },
    images: emptyStore as unknown as Images,
    kernels: emptyStore as unknown as Kernels,
    workspaces: {
      ...{
        inspect: missing,
        plan: missing,
        prepare: missing,
        status: missing,
        sync: missing,
        refresh: missing,
        hostMoved: missing,
      },
      policy: async () => null,
      watch: async function* () {},
    },
    workspaceExports: { export: missing, read: missing, apply: missing, forget: async () => {} },
    workspaceTools: { inspect: missing, install: missing },
    peers: { list: () => [], create: missing, remove: missing },
    secrets: { list: () => [], set: missing, remove: missing },
    networks: { show: missing, change: missing, check: missing, log: missing, restart: missing },
    forwards: { add: missing, remove: missing, list: () => [], addressOf: () => undefined },
    snapshots: {
      ...{ create: missing, show: missing, delete: missing, restore: missing, fork: missing, warm: missing },
      list: () => [],
    },
    templates: {
      ...{ show: missing, warm: missing },
      list: () => [],
      prune: async () => ({ templates: [], freedBytes: 0 }),
    },
    logins: {
      login: async ({ registry }) => ({ registry }),
      logout: async ({ registry }) => ({ registry, removed: false }),
    },
    startStats: () => ({ starts: [] }),
    operationStore: state.operations,
    doctor: { run: async () => [] },
    config: () => ({ file: config.file, settings: [] }),
    [Symbol.asyncDispose]: async () => state[Symbol.dispose](),
  };
}

/** Takes `steps` turns, each with an update; stops when it is told to. */
async function slowly(steps: number, progress: Progress): Promise<void> {
  for (let step = 0; step < steps; step++) {
    progress.signal.throwIfAborted();
    progress.stage("work", `step ${step}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What a daemon without machines does not have. */
function missing(): never {
  throw new BangerError("request.invalid", "this daemon has no machines");
}

const emptyStore = { list: () => [], catalog: () => [] };

function record(name: string, autoRemove: boolean, dir: string): VmRecord {
  return fakeVm(name, {
    id: newId(),
    autoRemove,
    dir,
    pid: null,
    bootId: null,
    createdAt: Date.now(),
    startedAt: null,
  });
}

/** Does on the host what the guest's agent does in a VM: enough for exec, dial, pack and unpack. */
const hostAgent = {
  async exec(spec: ExecSpec, { signal }: { signal: AbortSignal }) {
    const [file = "sh", ...args] = spec.argv;
    const child = spawn(file, args, {
      detached: true,
      stdio: [spec.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const started = Promise.withResolvers<void>();
    child.once("spawn", started.resolve);
    child.once("error", () => started.reject(new BangerError("exec.not-found", `"${file}" is not in the guest`)));
    await started.promise;
    const killGroup = (number: number) => {
      try {
        process.kill(-(child.pid ?? 0), number);
      } catch {
        // Ended meanwhile.
      }
    };
    signal.addEventListener("abort", () => killGroup(9), { once: true });
    child.stdin?.on("error", () => {});
    if (child.stdin !== null) spec.stdin?.pipe(child.stdin);
    child.stdout?.pipe(spec.stdout);
    child.stderr?.pipe(spec.stderr);
    const written = [spec.stdout, spec.stderr].map((stream) => new Promise((done) => stream.once("finish", done)));
    const exit = new Promise<{ code: number; signal: number }>((resolve, reject) => {
      child.once("close", (code, name) => {
        if (signal.aborted) reject(signal.reason as Error);
        else resolve(name === null ? { code: code ?? 0, signal: 0 } : { code: 128 + 15, signal: 15 });
      });
    });
    return {
      exited: Promise.all([exit, ...written]).then(([status]) => status),
      resize() {},
      signal: killGroup,
    };
  },
  async dial(target: { tcp: string } | { unix: string } | { service: "ssh" }) {
    if (!("unix" in target)) throw new BangerError("guest.failed", "connection refused");
    const socket = connect({ path: target.unix, allowHalfOpen: true });
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return socket;
  },
  async readTar(path: string) {
    if (path === "/broken") return Readable.from(brokenBytes(), { objectMode: false });
    return Readable.from([Buffer.alloc(100_000, path)]);
  },
  async writeTar(_directory: string, tar: Readable, { signal }: { signal: AbortSignal }) {
    let entries = 0;
    const bytes = addAbortSignal(signal, tar.pipe(new PassThrough()));
    for await (const chunk of bytes as AsyncIterable<Buffer>) entries += chunk.length;
    return { entries };
  },
  async stat() {
    throw new BangerError("file.not-found", "no such file");
  },
} as unknown as GuestAgent;

async function* brokenBytes(): AsyncGenerator<Buffer> {
  yield Buffer.from("some bytes");
  throw new BangerError("file.failed", "the disk of the guest broke");
}
