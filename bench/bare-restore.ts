// The floor under a warm `vm run`: the same QEMU restored from the same template, the same agent configured, and the machine powered
// off through it. Nothing waits for anything that it does not need, nothing is written down, and no daemon is asked.
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { ensureDisk, makeDisk } from "../src/disk/blank.ts";
import type { GuestAgent } from "../src/guest/agent.ts";
import { connectGuest } from "../src/guest/connect.ts";
import { startDetached } from "../src/lib/run.ts";
import { generateHostKey } from "../src/ssh/host-key.ts";
import { consoleLogName, socketNames, stateFd } from "../src/vmm/qemu/arguments.ts";
import { connectQmp, type QmpClient, type QmpEvent } from "../src/vmm/qemu/qmp.ts";
import { copyArguments, memoryFileOf, type CopiedDisk } from "./machine-copy.ts";
import { runningQemu } from "./running-qemu.ts";

const restoreTimeoutMs = 60_000;
const diskBytes = 8 * 1024 ** 3;
const vmmLog = "vmm.log";

export interface RestorableMachine {
  program: string;
  args: string[];
  /** Where the template lies. */
  template: string;
  disks: CopiedDisk[];
}

/** When each part was over, in milliseconds since the start. */
export type RestoreLaps = [name: string, atMs: number][];

/** The command line of a VM's QEMU that came from a template, changed in two ways: another name, and fresh disks in `dir`. */
export function restorableMachine(homeId: string, vmId: string, dir: string): RestorableMachine {
  const { program, args } = runningQemu(homeId, vmId);
  const memoryFile = memoryFileOf(args);
  if (memoryFile === undefined) throw new Error(`VM "${vmId}" did not start from a template`);
  const copied = copyArguments(args, dir);
  // Without -S the CPUs run as soon as the state is loaded, and nobody has to be told.
  const running = copied.args.filter((argument) => argument !== "-S");
  return { program, args: running, template: dirname(memoryFile), disks: copied.disks };
}

/** Restores it, configures the guest and powers it off. The disks are made before the clock runs. */
export async function restoreBare(
  machine: RestorableMachine,
  dir: string,
): Promise<{ durationMs: number; laps: RestoreLaps }> {
  await makeReady(machine, dir);
  return await restored(machine, dir, async ({ agent, qemu, lap, signal }) => {
    await agent.shutdown({ graceMs: 1, signal });
    lap("disks clean");
    const how = await qemu.exited;
    lap("off");
    if (how !== "exit code 0") throw new Error(`the bare machine ended with ${how}`);
  });
}

/**
 * Restores all of these machines at once, configures their guests and runs a command in each. Resolves with the milliseconds until the
 * last command has ended. Their disks are made before, and they are killed after the clock has stopped.
 */
export async function restoreBareAtOnce(
  machines: readonly { machine: RestorableMachine; dir: string }[],
  argv: readonly string[],
): Promise<number> {
  for (const { machine, dir } of machines) await makeReady(machine, dir);
  const over = Promise.withResolvers<void>();
  const started = performance.now();
  let left = machines.length;
  let durationMs = NaN;
  const one = async ({ agent, qemu, signal }: BareMachine) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const running = await agent.exec({ argv, stdout, stderr }, { signal });
    const { code } = await running.exited;
    if (code !== 0) throw new Error(`"${argv.join(" ")}" ended with ${code} in a bare machine`);
    if (--left === 0) {
      durationMs = performance.now() - started;
      over.resolve();
    }
    await over.promise;
    qemu.kill();
    await qemu.exited;
  };
  const all = machines.map(({ machine, dir }) =>
    restored(machine, dir, one).catch((error: unknown) => {
      over.reject(error);
      throw error;
    }),
  );
  over.promise.catch(() => {});
  const [failed] = (await Promise.allSettled(all)).filter((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return durationMs;
}

/** No sockets and logs of a former machine, and disks as its template has them. */
async function makeReady(machine: RestorableMachine, dir: string): Promise<void> {
  const signal = AbortSignal.timeout(restoreTimeoutMs);
  for (const name of [...Object.values(socketNames), consoleLogName, vmmLog])
    await rm(join(dir, name), { force: true });
  for (const { path, serial } of machine.disks) {
    await rm(path, { force: true });
    // Of a template of an image the disks must be as it has them.
    const recipe = join(machine.template, `${serial}.recipe`);
    if (!existsSync(recipe)) await ensureDisk(path, serial, diskBytes, signal);
    else if (!(await makeDisk(path, recipe, signal))) throw new Error(`"${recipe}" is damaged`);
  }
}

interface BareMachine {
  agent: GuestAgent;
  qemu: Awaited<ReturnType<typeof spawnQemu>>;
  lap: (name: string) => void;
  signal: AbortSignal;
}

/** Nothing of the machine is left when `work` has failed. */
async function restored(
  machine: RestorableMachine,
  dir: string,
  work: (bare: BareMachine) => Promise<void>,
): Promise<{ durationMs: number; laps: RestoreLaps }> {
  const signal = AbortSignal.timeout(restoreTimeoutMs);
  const config = guestConfig();
  const started = performance.now();
  const laps: RestoreLaps = [];
  const lap = (name: string) => void laps.push([name, performance.now() - started]);

  const qemu = await spawnQemu(machine, dir);
  lap("spawn");
  try {
    const loaded = Promise.withResolvers<void>();
    const ended = qemu.exited.then((how): never => {
      throw new Error(`the bare machine ended with ${how}: see ${dir}`);
    });
    ended.catch(() => {});
    const onEvent = ({ name }: QmpEvent) => {
      if (name === "RESUME") loaded.resolve();
    };
    const qmp = await Promise.race([ended, qmpOf(dir, signal, onEvent)]);
    lap("VMM answers");
    // The guest answers as soon as it runs: it is greeted before that.
    const greeted = connectGuest(connect(join(dir, socketNames.agent)), { signal });
    greeted.catch(() => {});
    // As the driver does: QEMU dies, rarely, of announcing a machine whose network nobody has taken yet.
    const quiet = qmp.execute("migrate-set-parameters", { "announce-rounds": 0 }, { signal });
    await qmp.execute("migrate-incoming", { uri: `fd:${stateFd}` }, { signal });
    await quiet;
    await Promise.race([ended, loaded.promise]);
    lap("loaded");
    const agent = await Promise.race([ended, greeted]);
    lap("handshake");
    await Promise.race([ended, Promise.all([agent.hello({ signal }), agent.configure(config, { signal })])]);
    lap("configured");
    await work({ agent, qemu, lap, signal });
    const durationMs = performance.now() - started;
    await agent[Symbol.asyncDispose]();
    qmp.close();
    return { durationMs, laps };
  } catch (error) {
    qemu.kill();
    throw error;
  }
}

async function spawnQemu({ program, args, template }: RestorableMachine, dir: string) {
  await using state = await open(join(template, "state.bin"), "r");
  await using output = await open(join(dir, vmmLog), "w", 0o600);
  const { pid, exited } = startDetached({
    file: program,
    args,
    cwd: dir,
    outputFd: output.fd,
    inheritedFds: [state.fd],
  });
  const living = { now: true };
  // A detached process keeps nobody waiting by itself.
  const waiting = setInterval(() => {}, restoreTimeoutMs);
  void exited.then(() => {
    living.now = false;
    clearInterval(waiting);
  });
  return { exited, kill: () => void (living.now && process.kill(pid, "SIGKILL")) };
}

/** QEMU listens some milliseconds before it answers: looking each millisecond costs nothing that is not waited for anyway. */
async function qmpOf(dir: string, signal: AbortSignal, onEvent: (event: QmpEvent) => void): Promise<QmpClient> {
  const path = join(dir, socketNames.qmp);
  for (;;) {
    signal.throwIfAborted();
    try {
      if (existsSync(path)) return await connectQmp(path, { signal, onEvent });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED") throw error;
    }
    await delay(1);
  }
}

function guestConfig() {
  return {
    vmId: "bench",
    hostname: "bench",
    disks: { base: "base", overlay: "overlay", work: "work" },
    ssh: { hostKeyPem: generateHostKey().privatePem, authorizedKeys: [] },
    environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    defaultUser: "",
    defaultWorkdir: "",
    bootId: randomUUID(),
  };
}
