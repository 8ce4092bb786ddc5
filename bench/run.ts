// `make bench`: measures the program against the floor under it, prints a table and writes JSON. Missed targets are reported
// and do not fail; only what breaks does.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { bareMachine } from "./bare-boot.ts";
import { Banger, root } from "./banger.ts";
import { coldRun, daemonMemory, exec, startUp, type BenchVm, type Measure } from "./measures.ts";
import { formatReport, passed, type Host } from "./report.ts";

const usage = `usage: node bench/run.ts [--rounds COUNT] [--json FILE] [--home DIRECTORY]
  --rounds COUNT    rounds of each measure; default 10
  --json FILE       where the values are written; default dist/bench.json
  --home DIRECTORY  BANGER_HOME of the run, kept for the next one; default .cache/bench`;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    json: { type: "string", default: join(root, "dist/bench.json") },
    home: { type: "string", default: join(root, ".cache/bench") },
    help: { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
if (options.help || !Number.isInteger(rounds) || rounds < 1) {
  process.stderr.write(`${usage}\n`);
  process.exitCode = options.help ? 0 : 2;
} else {
  await bench();
}

async function bench(): Promise<void> {
  const say = (text: string) => process.stderr.write(`bench: ${text}\n`);
  const banger = new Banger(resolve(options.home));
  const loadBefore = loadavg()[0] ?? NaN;
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(async () => void (await banger.time("daemon", "stop")));
  await banger.prepare(say);

  const name = `bench-${process.pid}`;
  await banger.time("vm", "create", "--name", name);
  cleanup.defer(async () => void (await banger.time("vm", "delete", name)));
  const vm = (await banger.json("vm", "show", name)) as BenchVm;
  const dir = mkdtempSync(join(tmpdir(), "banger-bench-"));
  cleanup.defer(() => rmSync(dir, { recursive: true, force: true }));

  const machine = bareMachine(banger.homeId, vm.id, dir);
  const measures: Measure[] = [];
  say(`start of the program, ${rounds * 2} rounds …`);
  measures.push(await startUp(banger, rounds * 2));
  say(`exec, ${rounds * 2} rounds …`);
  measures.push(...(await exec(banger, vm, rounds * 2)));
  say("memory of the daemon …");
  measures.push(await daemonMemory(banger, rounds));
  say(`cold run, ${rounds} rounds …`);
  measures.unshift(await coldRun(banger, machine, dir, rounds));

  const host: Host = {
    cpus: availableParallelism(),
    node: process.version,
    accelerator: machine.accelerator,
    loadBefore,
    loadAfter: loadavg()[0] ?? NaN,
  };
  const file = resolve(options.json);
  mkdirSync(dirname(file), { recursive: true });
  const report = {
    takenAt: new Date().toISOString(),
    host,
    measures: measures.map((measure) => ({ ...measure, passed: passed(measure) })),
  };
  writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
  process.stdout.write(`${formatReport(measures, host)}\n`);
  say(`values: ${file}`);
}
