// What is measured, and which values are wanted. Every measure takes both of its sides in turns in one run.
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "../src/lib/run.ts";
import { bootBare, type BareMachine } from "./bare-boot.ts";
import { root, type Banger } from "./banger.ts";
import { interleave, summarise, type Summary } from "./statistics.ts";

export interface Measure {
  name: string;
  /** The value that the target is for. */
  value: number;
  unit: "x" | "ms" | "MB";
  /** Wanted: at most this. */
  target: number;
  /** What the value was made of, in milliseconds or MB. */
  sides: Record<string, Summary>;
}

export interface BenchVm {
  id: string;
  name: string;
}

/** `vm run` of a fresh VM that is removed, against the bare boot of such a machine in `dir`. */
export async function coldRun(banger: Banger, machine: BareMachine, dir: string, rounds: number): Promise<Measure> {
  const { run: ours, bare } = await interleave(rounds, {
    run: () => banger.time("vm", "run", "--rm", "--", "true"),
    bare: () => bootBare(machine, dir),
  });
  const sides = { "banger vm run --rm -- true": summarise(ours), "bare QEMU boot to power-off": summarise(bare) };
  return {
    name: "cold run against bare boot",
    value: summarise(ours).median / summarise(bare).median,
    unit: "x",
    target: 1.35,
    sides,
  };
}

/** How often the guest's shell runs the command by itself, to find what that takes without us. */
const repeats = 20;

/**
 * `vm exec` on a running VM: its wall time, and how much of it is not the start of the program itself. That start is taken in two
 * ways: `banger version` loads next to nothing, `banger vm exec --help` loads this command and parses its words, but asks no daemon.
 * Part of the rest is the guest's own work, which is shown beside it: what one more /bin/true takes from a shell in the guest.
 */
export async function exec(banger: Banger, vm: BenchVm, rounds: number): Promise<Measure[]> {
  const script = `i=0; while [ $i -lt ${repeats} ]; do /bin/true; i=$((i+1)); done`;
  const values = await interleave(rounds, {
    exec: () => banger.time("vm", "exec", vm.name, "--", "true"),
    version: () => banger.time("version"),
    help: () => banger.time("vm", "exec", "--help"),
    guest: () => banger.time("vm", "exec", vm.name, "--", "sh", "-c", script),
  });
  const wall = summarise(values.exec);
  const version = summarise(values.version);
  const help = summarise(values.help);
  const sides = { "banger vm exec <vm> -- true": wall };
  const inGuest = summarise(values.guest.map((ms) => (ms - wall.median) / repeats));
  return [
    { name: "exec, wall time", value: wall.median, unit: "ms", target: 120, sides },
    {
      name: "exec beyond banger version",
      value: wall.median - version.median,
      unit: "ms",
      target: 25,
      sides: { ...sides, "banger version": version, "/bin/true from a shell in the guest": inGuest },
    },
    {
      name: "exec beyond banger vm exec --help",
      value: wall.median - help.median,
      unit: "ms",
      target: 25,
      sides: { ...sides, "banger vm exec --help": help },
    },
  ];
}

/** The start of the program against the start of its Node. */
export async function startUp(banger: Banger, rounds: number): Promise<Measure> {
  const node = join(root, "dist/node");
  const { version, bare } = await interleave(rounds, {
    version: () => banger.time("version"),
    bare: async () => (await run({ file: node, args: ["-e", "0"] })).durationMs,
  });
  return {
    name: "banger version against node",
    value: summarise(version).median / summarise(bare).median,
    unit: "x",
    target: 1.6,
    sides: { "banger version": summarise(version), "node -e 0": summarise(bare) },
  };
}

/** Resident memory of a daemon that has found a running VM again and does nothing. */
export async function daemonMemory(banger: Banger, rounds: number): Promise<Measure> {
  await banger.time("daemon", "stop");
  const values: number[] = [];
  // The first command starts it.
  await banger.time("vm", "list");
  for (let round = 0; round < rounds; round += 1) {
    await delay(200);
    const { residentBytes } = (await banger.json("daemon", "status")) as { residentBytes: number };
    values.push(residentBytes / 1_000_000);
  }
  const memory = summarise(values);
  return { name: "idle daemon, memory", value: memory.median, unit: "MB", target: 90, sides: { bangerd: memory } };
}
