// A fork of a running VM to its first exec, against a warm run of such a VM, whole process, and against what a program waits for such a VM; and how long the source stands still for it: as the
// daemon says, and as a process in the source sees it.
import type { Client } from "../../src/sdk/client.ts";
import type { Banger } from "../banger.ts";
import type { Measure, Row } from "../measure.ts";
import { interleave, summarise, summariseNamed } from "../statistics.ts";
import { StandstillWatch } from "../standstill.ts";
import { createVm, execIn, expectStart, firstExec, warm } from "../vms.ts";

const shape = { memoryMib: 512 };
const filledMib = 200;
const fill = `my $x = "x" x (${filledMib} << 20); $| = 1; print "filled\\n"; sleep`;

export const fork: Row = {
  name: "fork",
  about: "fork of a running VM",
  async measure({ banger, client, rounds }) {
    await warm(client, shape);
    return [
      ...(await speed(banger, client, rounds, "fork to first exec", ["true"])),
      ...(await speed(banger, client, rounds, "of a VM that has run nothing yet: fork to first exec")),
      await pause(client, rounds, "source's pause while forked, 512 MiB VM"),
      await pause(client, rounds, `same, with ${filledMib} MiB of it filled by a process`, fill),
    ];
  },
};

/** `before`: what the source has run; its pages are in its memory then, and so in the fork's. */
async function speed(
  banger: Banger,
  client: Client,
  rounds: number,
  name: string,
  before?: string[],
): Promise<Measure[]> {
  await using source = await createVm(client, shape);
  if (before !== undefined) await execIn(client, source.id, before);
  const { fresh, forked, run, processes } = await interleave(rounds, {
    fresh: async () => {
      const { totalMs, vm } = await firstExec(client, shape);
      expectStart(vm, "image");
      return totalMs;
    },
    forked: () => forkToExec(client, source.id),
    run: () => banger.time("vm", "run", "--memory", `${shape.memoryMib}M`, "--rm", "--", "true"),
    processes: async () => {
      const copy = `bench-${process.pid}-${forks++}`;
      const forkMs = await banger.time("vm", "fork", source.id, "--name", copy);
      const execMs = await banger.time("vm", "exec", copy, "--", "true");
      await client.operate("vm.delete", { vm: copy });
      return forkMs + execMs;
    },
  });
  const total = summarise(forked.map(({ totalMs }) => totalMs));
  const forkSide = { "vm.fork to exit status": total };
  return [
    {
      name: `${name}, against warm run`,
      value: total.median / summarise(run).median,
      unit: "x",
      target: 1,
      sides: {
        ...forkSide,
        ...summariseNamed(forked.map(parts)),
        "banger vm run --rm -- true": summarise(run),
        "banger vm fork, banger vm exec: both processes": summarise(processes),
      },
    },
    {
      name: `${name}, against warm create to first exec`,
      value: total.median / summarise(fresh).median,
      unit: "x",
      target: 1,
      sides: { ...forkSide, "vm.create to exit status": summarise(fresh) },
    },
  ];
}

/** For names that no other fork has. */
let forks = 0;

async function forkToExec(client: Client, source: string) {
  const started = performance.now();
  const { vms, pausedMs } = await client.operate("vm.fork", { source });
  const forkMs = performance.now() - started;
  const [vm] = vms;
  if (vm === undefined) throw new Error("the fork made no VM");
  await execIn(client, vm.id, ["true"]);
  const totalMs = performance.now() - started;
  await client.operate("vm.delete", { vm: vm.id });
  return { totalMs, forkMs, pausedMs, vm };
}

type Forked = Awaited<ReturnType<typeof forkToExec>>;

/** What is not the start of the fork is before and after it; the start begins when the source is captured. */
function parts({ totalMs, forkMs, vm }: Forked): [string, number][] {
  const phases = vm.lastStart?.phases ?? [];
  const startMs = phases.reduce((sum, { ms }) => sum + ms, 0);
  return [
    ["  request, source until it is captured, answer", forkMs - startMs],
    ...phases.map(({ name, ms }): [string, number] => [`  fork: ${name}`, ms]),
    ["  exec", totalMs - forkMs],
  ];
}

/** `fillScript`: Perl that takes memory, says so in a line, and stays. */
async function pause(client: Client, rounds: number, name: string, fillScript?: string): Promise<Measure> {
  await using source = await createVm(client, shape);
  await using _filler = fillScript === undefined ? undefined : await heldExec(client, source.id, fillScript);
  await using watch = await StandstillWatch.start(client, source.id);
  const { paused, quiet } = await interleave(rounds, {
    paused: async () => {
      let said = NaN;
      const seen = await watch.during(async () => void (said = (await forkToExec(client, source.id)).pausedMs));
      return { said, seen };
    },
    quiet: () => watch.during(() => execIn(client, source.id, ["sleep", "0.3"])),
  });
  const said = summarise(paused.map((one) => one.said));
  return {
    name,
    value: said.median,
    unit: "ms",
    target: 100,
    sides: {
      "pausedMs of the fork": said,
      "longest standstill that the guest saw": summarise(paused.map((one) => one.seen)),
      "longest without a fork": summarise(quiet),
    },
  };
}

/** Resolves when the script has printed its first line; dispose ends it. */
async function heldExec(client: Client, vm: string, script: string): Promise<AsyncDisposable> {
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();
  const running = execIn(client, vm, ["perl", "-e", script], { signal: stop.signal, onOutput: () => ready.resolve() });
  running.catch(ready.reject);
  await ready.promise;
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running.catch(() => {});
    },
  };
}
