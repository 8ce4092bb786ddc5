// `make bench`: measures the program against the floor under it, prints a table and writes JSON. Missed targets are reported
// and do not fail; only what breaks does.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Banger, root } from "./banger.ts";
import { optionOf } from "./machine-copy.ts";
import type { Bench, Measure, Row } from "./measure.ts";
import { parseOptions, type Options } from "./options.ts";
import { formatReport, passed, type Host } from "./report.ts";
import { atOnce } from "./rows/at-once.ts";
import { coldRun } from "./rows/cold-run.ts";
import { daemonMemory } from "./rows/daemon-memory.ts";
import { exec } from "./rows/exec.ts";
import { firstExecRow } from "./rows/first-exec.ts";
import { fork } from "./rows/fork.ts";
import { hostMemory } from "./rows/host-memory.ts";
import { imagePull } from "./rows/image-pull.ts";
import { network } from "./rows/network.ts";
import { startUp } from "./rows/start-up.ts";
import { templateMaking } from "./rows/template-making.ts";
import { warmRun } from "./rows/warm-run.ts";
import { workspaceExport } from "./rows/workspace-export.ts";
import { workspacePrepare } from "./rows/workspace-prepare.ts";
import { workspaceSync } from "./rows/workspace-sync.ts";
import { runningQemu } from "./running-qemu.ts";
import { createVm } from "./vms.ts";

/** The last one removes the templates that the others use. */
const rows: readonly Row[] = [
  ...[startUp, exec, daemonMemory, warmRun, firstExecRow, fork, atOnce, hostMemory, network, coldRun, imagePull],
  workspaceExport,
  workspacePrepare,
  workspaceSync,
  templateMaking,
];

const usage = `usage: node bench/run.ts [--only NAME[,NAME...]] [--rounds COUNT] [--full] [--json FILE] [--home DIRECTORY]
  --only NAMES      rows to measure; default all: ${rows.map(({ name }) => name).join(", ")}
  --rounds COUNT    rounds of each measure; default 20
  --full            also what takes long: 20 idle VMs in place of 6, and the large image
  --json FILE       where the values are written; default dist/bench.json
  --home DIRECTORY  BANGER_HOME of the run, kept for the next one; default .cache/bench`;

try {
  const options = parseOptions(
    process.argv.slice(2),
    rows.map(({ name }) => name),
    { json: join(root, "dist/bench.json"), home: join(root, ".cache/bench") },
  );
  if (options.help) process.stdout.write(`${usage}\n`);
  else await bench(options);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
  process.exitCode = 1;
}

async function bench(options: Options): Promise<void> {
  const say = (text: string) => process.stderr.write(`bench: ${text}\n`);
  const banger = new Banger(resolve(options.home));
  const loadBefore = loadavg()[0] ?? NaN;
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(async () => void (await banger.time("daemon", "stop")));
  await banger.prepare(say);
  const client = cleanup.use(banger.client());
  const dir = mkdtempSync(join(tmpdir(), "banger-bench-"));
  cleanup.defer(() => rmSync(dir, { recursive: true, force: true }));

  const parts: Bench = { banger, client, rounds: options.rounds, full: options.full, dir };
  const accelerator = await acceleratorOf(parts);
  const measures: Measure[] = [];
  for (const row of rows.filter(({ name }) => options.only.length === 0 || options.only.includes(name))) {
    say(`${row.name}: ${row.about}, ${options.rounds} rounds …`);
    try {
      measures.push(...(await row.measure(parts)));
    } catch (error) {
      // The other rows are worth having all the same.
      say(`${row.name} broke: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      process.exitCode = 1;
    }
  }

  const loadAfter = loadavg()[0] ?? NaN;
  const host: Host = { cpus: availableParallelism(), node: process.version, accelerator, loadBefore, loadAfter };
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

/** What the VMs run on: "kvm" or "tcg". */
async function acceleratorOf({ banger, client }: Bench): Promise<string> {
  await using vm = await createVm(client, {});
  const { args } = runningQemu(banger.paths.homeId, vm.id);
  return (optionOf(args, "-accel") ?? "").split(",")[0] ?? "";
}
