// Snapshots with real files and a real database, above machines and guests that are made up and fail on demand.
import { Networks } from "../../../network/networks.ts";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { PassThrough } from "node:stream";
import { ensurePaths, resolvePaths, vmPaths } from "../../../config/paths.ts";
import type { GuestAgent, GuestIdentity } from "../../../guest/agent.ts";
import { BangerError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/log.ts";
import { KeyedMutex } from "../../../lib/mutex.ts";
import { quietProgress, type Progress } from "../../../lib/progress.ts";
import { mib } from "../../../lib/units.ts";
import { openState } from "../../../state/open.ts";
import { addParts, exampleVm } from "../../../state/testdata/rows.ts";
import type { Driver, Machine, MachineCapture, MachineExit, Standby } from "../../../vmm/driver.ts";
import { Activity } from "../../activity.ts";
import type { VmContext } from "../../context.ts";
import { vmDisk, writableSerials } from "../../disk-files.ts";
import { Forwards } from "../../forward/forwards.ts";
import { Sessions } from "../../sessions.ts";
import { StartLog } from "../../start-stats.ts";
import { vmParts } from "../../testdata/parts.ts";
import { Pins } from "../pins.ts";
import { Snapshots } from "../snapshots.ts";

export type Step =
  | "begin-capture"
  | "freeze"
  | "pause"
  | "finish-capture"
  | "switch-disks"
  | "rebase-disks"
  | "resume"
  | "thaw"
  | "stand-by"
  | "restore"
  | "hello";

/** VMMs that waited for a capture, and were not needed. */
const ended = new WeakSet<Standby>();

/** A machine and the guest in it. */
export class FakeVm {
  readonly disks = new Map<string, string>();
  readonly synced: boolean[];
  paused = false;
  frozen = false;
  gone = false;
  identity: string;
  /** It came from a capture, and has changed little. */
  handsOver = false;
  /** What it was to put in place of chains of layers, with the snapshot above which they were. */
  readonly rebased: [base: string, paths: string[]][] = [];
  readonly #exit = Promise.withResolvers<MachineExit>();
  readonly #step: (step: Step) => Promise<void>;

  constructor(
    vmId: string,
    disks: Iterable<[string, string]>,
    step: (step: Step) => Promise<void>,
    synced: boolean[] = [],
  ) {
    this.synced = synced;
    this.identity = vmId;
    this.disks = new Map(disks);
    this.#step = step;
  }

  get machine(): Machine {
    const captured = async ({ memoryFile, stateFile }: MachineCapture) => {
      await writeFile(memoryFile, this.identity);
      await writeFile(stateFile, "state");
    };
    return {
      vmId: this.identity,
      pid: 1,
      exited: this.#exit.promise,
      controlChannel: async () => new PassThrough(),
      pause: () => this.#does("pause", () => (this.paused = true)),
      resume: () => this.#does("resume", () => (this.paused = false)),
      isPaused: async () => {
        if (this.gone) throw new BangerError("vmm.failed", "gone");
        return this.paused;
      },
      beginCapture: async (target: MachineCapture, { onLaidOut }: { onLaidOut?: () => void }) => {
        await this.#step("begin-capture");
        await captured(target);
        onLaidOut?.();
        return {
          finish: () => this.#does("finish-capture", () => {}),
          async [Symbol.asyncDispose]() {},
        };
      },
      beginHandOver: async (stateFile: string) => {
        if (!this.handsOver) return undefined;
        await writeFile(stateFile, "state");
        return {
          capture: { memoryFile: "/base", stateFile },
          to: async (standby: Standby) => {
            await this.#step("begin-capture");
            return {
              finish: async () => {
                if (ended.has(standby)) throw new BangerError("snapshot.failed", "the VMM ended");
                await this.#does("finish-capture", () => {});
              },
              async [Symbol.asyncDispose]() {},
            };
          },
        };
      },
      switchDisks: (_base: string, tops: readonly { serial: string; path: string }[]) =>
        this.#does("switch-disks", () => tops.forEach(({ serial, path }) => this.disks.set(serial, path))),
      rebaseDisks: async (base: string, wholes: readonly { path: string }[]) => {
        this.rebased.push([base, wholes.map(({ path }) => path)]);
        await this.#step("rebase-disks");
      },
      activeDisks: async () => new Map(this.disks),
      kill: async () => {
        this.gone = true;
        this.#exit.resolve({ reason: "killed", expected: true });
      },
      async [Symbol.asyncDispose]() {},
    } as unknown as Machine;
  }

  get agent(): GuestAgent {
    return {
      closed: new Promise<never>(() => {}),
      end() {},
      whenLost() {},
      hello: async () => {
        await this.#step("hello");
        return { vmId: this.identity, phase: this.frozen ? "frozen" : "running", failure: "" };
      },
      freeze: ({ sync }: { sync: boolean }) => {
        this.synced.push(sync);
        return this.#does("freeze", () => (this.frozen = true));
      },
      thaw: ({ identity }: { identity?: GuestIdentity }) =>
        this.#does("thaw", () => {
          this.frozen = false;
          this.identity = identity?.vmId ?? this.identity;
        }),
      async [Symbol.asyncDispose]() {},
    } as unknown as GuestAgent;
  }

  /** Fails before or, for a reply that is lost, after it has taken effect: that is up to the step. */
  async #does(step: Step, effect: () => unknown): Promise<unknown[]> {
    try {
      await this.#step(step);
    } catch (error) {
      if (!(error instanceof BangerError && error.message === "not done")) effect();
      throw error;
    }
    effect();
    return [];
  }
}

export interface Harness extends Disposable {
  context: VmContext;
  snapshots: Snapshots;
  /** Machines that were started, by the VM they are of. */
  vms: Map<string, FakeVm>;
  steps: Step[];
  /** Whether each freeze was asked to write caches to the disks. */
  synced: boolean[];
  /** VMMs that wait for a capture now. */
  standingBy: number;
  /** Called at each step: throws, aborts, or does nothing. */
  onStep: (step: Step) => void | Promise<void>;
  /** A running VM with its own whole disks. */
  addRunning(name: string): FakeVm;
  snapshotDirs(): string[];
  diskFiles(vmId: string): string[];
}

export const quiet = (signal = new AbortController().signal): Progress => quietProgress(signal);

/** What a step fails with when it had no effect; any other error comes after the effect. */
export const notDone = () => new BangerError("snapshot.failed", "not done");

export async function harness(): Promise<Harness> {
  const root = mkdtempSync(join(tmpdir(), "banger-snapshot-"));
  const paths = resolvePaths({ BANGER_HOME: root });
  await ensurePaths(paths);
  const state = openState(paths.databaseFile);
  addParts(state);
  const vms = new Map<string, FakeVm>();
  const steps: Step[] = [];
  const step = async (name: Step) => {
    steps.push(name);
    await made.onStep(name);
  };
  const agents = new Map<unknown, GuestAgent>();
  const restore: Driver["restore"] = async (spec) => {
    await step("restore");
    const fake = new FakeVm(
      spec.vmId,
      spec.disks.map(({ serial, path }) => [serial, path]),
      step,
    );
    const { machine } = fake;
    // Its memory is that of the VM which was captured: processes stand still, and the guest is still the other one.
    fake.identity = "0123456789ab";
    fake.frozen = true;
    fake.paused = true;
    vms.set(spec.vmId, fake);
    const channel = new PassThrough();
    agents.set(channel, fake.agent);
    return {
      machine: { ...machine, controlChannel: async () => channel },
      timings: { spawnMs: 1, loadMs: 2 },
    };
  };
  const standBy: Driver["standBy"] = async (spec, capture) => {
    await step("stand-by");
    made.standingBy++;
    let waits = true;
    const leave = () => {
      if (waits) made.standingBy--;
      waits = false;
    };
    const standby: Standby = {
      pid: 2,
      async restore(options) {
        leave();
        return await restore(spec, capture, options);
      },
      async [Symbol.asyncDispose]() {
        if (waits) ended.add(standby);
        leave();
      },
    };
    return standby;
  };
  const whyEnded = () => new BangerError("guest.unreachable", "it has ended");
  const unwatched = { onExit() {}, onBroken() {}, whyEnded, reconnect: () => new Promise<never>(() => {}) };
  const sessions = new Sessions(unwatched, silentLogger);
  const { network, ...parts } = vmParts(paths, state, {
    driver: { shape: async () => "shape", restore, standBy },
    connectGuest: async (channel) => agents.get(channel) as GuestAgent,
  });
  const { secrets, log } = parts;
  const context: VmContext = {
    ...parts,
    networks: new Networks({ ...network, vmsDir: paths.vmsDir, secrets, log, onLost() {} }),
    starts: new StartLog(state.starts, silentLogger),
    sessions,
    starting: new Map(),
    pins: new Pins(),
    forwards: new Forwards({ table: state.vms, sessions, activity: new Activity(), log: silentLogger }),
    locks: new KeyedMutex(),
  };
  const record = (id: string) => context.state.vms.get(id) as never;
  const made: Harness = {
    context,
    snapshots: new Snapshots(context, record),
    vms,
    steps,
    synced: [],
    standingBy: 0,
    onStep: () => {},
    addRunning(name) {
      const row = exampleVm({ name, state: "running" });
      state.vms.insert(row);
      mkdirSync(vmPaths(paths, row.id).dir);
      const files = writableSerials.map((serial): [string, string] => [serial, vmDisk(paths, row, serial).path]);
      for (const [, path] of files) writeFileSync(path, Buffer.alloc(mib));
      const fake = new FakeVm(row.id, files, step, made.synced);
      vms.set(row.id, fake);
      context.sessions.adopt(fake.machine, fake.agent);
      return fake;
    },
    snapshotDirs: () => readdirSync(paths.snapshotsDir),
    diskFiles: (vmId) =>
      readdirSync(vmPaths(paths, vmId).dir)
        .filter((file) => /^(?:overlay|work)\./.test(basename(file)))
        .toSorted(),
    [Symbol.dispose]() {
      context.starts[Symbol.dispose]();
      state[Symbol.dispose]();
      rmSync(root, { recursive: true });
    },
  };
  return made;
}
