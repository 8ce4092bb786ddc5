// The network of a VM, through banger-netd, beside plain TCP between the same two namespaces: throughput both ways, a connection, a
// denied one, and what the process takes of the host's memory. Before that, bytes go both ways at once and must come back as they were.
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "../../src/sdk/client.ts";
import { run } from "../../src/lib/run.ts";
import type { Bench, Measure, Row } from "../measure.ts";
import { pssMib } from "../smaps.ts";
import { interleave, summarise } from "../statistics.ts";
import { internetAddress, TwoNamespaces } from "../two-namespaces.ts";
import { createVm, execIn } from "../vms.ts";

const port = 8001;
const url = `http://${internetAddress}:${port}`;
const megabytes = 64;
const sizeBytes = megabytes * 2 ** 20;
/** A guest that is emulated moves and sums up each byte by itself: a fortieth is still more than most lines give. */
const slowest = 40;
/** Attempts to connect in a row, by one shell. */
const connections = 40;

/** Runs a script of bash in a place, and says what it printed. */
type Shell = (script: string) => Promise<string>;

export const network: Row = {
  name: "network",
  about: "the network of a VM",
  async measure(bench) {
    await using two = await TwoNamespaces.make();
    await two.serve("internet", join(import.meta.dirname, "../byte-server.ts"), String(port));
    await using _daemon = await daemonInside(bench, two);
    const { client, dir, full, rounds } = bench;
    await using vm = await createVm(client, { memoryMib: 512, network: { use: "balanced" } });
    const zeros = join(dir, "zeros");
    writeFileSync(zeros, "");
    truncateSync(zeros, sizeBytes);
    const host: Shell = async (script) => {
      const [file, ...args] = two.inside("host");
      return (await run({ file, args: [...args, "bash", "-ec", script], timeoutMs: 600_000 })).stdout.toString();
    };
    const guest = guestShell(client, vm.id);
    await guest(`truncate -s ${sizeBytes} /tmp/zeros`);
    await compareBytes(guest, host, (full ? 1024 : megabytes) * 2 ** 20);
    const { pid } = vm.network;
    const idleMib = memoryOf(pid);
    const measureIn = async (shell: Shell, file: string) => {
      const start = processorMs(pid);
      const downMs = await curlMs(shell, `-o /dev/null ${url}/${sizeBytes}`);
      const between = processorMs(pid);
      const upMs = await curlMs(shell, `-o /dev/null -T ${file} ${url}/`);
      const work = { down: between - start, up: processorMs(pid) - between };
      return { downMs, upMs, work, connectMs: numbers(await shell(timesOf(internetAddress))) };
    };
    const { through, plain, denied } = await interleave(Math.min(rounds, 10), {
      through: () => measureIn(guest, "/tmp/zeros"),
      plain: () => measureIn(host, zeros),
      denied: async () => numbers(await guest(timesOf("10.0.0.1"))),
    });
    const busyMib = memoryOf(pid);
    const work = {
      download: summarise(through.map((one) => one.work.down)),
      upload: summarise(through.map((one) => one.work.up)),
    };
    const deniedMs = summarise(denied.flat());
    return [
      against("download", through, plain, ({ downMs }) => downMs),
      against("upload", through, plain, ({ upMs }) => upMs),
      {
        name: `banger-netd's processor time for ${megabytes} MiB`,
        value: Math.max(work.download.median, work.upload.median),
        unit: "ms",
        target: 500,
        sides: work,
      },
      {
        name: "a denied connection, seen by the guest",
        value: deniedMs.median,
        unit: "ms",
        target: 50,
        sides: {
          denied: deniedMs,
          allowed: summarise(through.flatMap(({ connectMs }) => connectMs)),
          [plainly]: summarise(plain.flatMap(({ connectMs }) => connectMs)),
        },
      },
      {
        name: "banger-netd after all that, PSS",
        value: busyMib,
        unit: "MiB",
        target: 64,
        sides: { before: summarise([idleMib]), after: summarise([busyMib]) },
      },
    ];
  },
};

const plainly = "plain, between the same namespaces";

/** By how much longer a guest's transfers take. */
function against<Round>(
  name: string,
  through: readonly Round[],
  plain: readonly Round[],
  msOf: (round: Round) => number,
): Measure {
  const rate = (rounds: readonly Round[]) => summarise(rounds.map((round) => sizeBytes / msOf(round) / 1000));
  const [ours, theirs] = [rate(through), rate(plain)];
  return {
    name: `${name}, time against plain TCP`,
    value: theirs.median / ours.median,
    unit: "x",
    target: slowest,
    sideUnit: "MB/s",
    sides: { "a guest, through banger-netd": ours, [plainly]: theirs },
  };
}

/** Has the daemon run in the "host" until it is disposed; the next command starts one that does not. */
async function daemonInside({ banger }: Bench, two: TwoNamespaces): Promise<AsyncDisposable> {
  const stop = async () => void (await banger.time("daemon", "stop"));
  await stop();
  const { file, args, env } = banger.command("vm", "list");
  const [nsenter, ...rest] = two.inside("host");
  await run({ file: nsenter, args: [...rest, file, ...args], env });
  return {
    [Symbol.asyncDispose]: async () => {
      await stop();
      await banger.time("vm", "list");
    },
  };
}

function guestShell(client: Client, vm: string): Shell {
  return async (script) => {
    let said = "";
    await execIn(client, vm, ["bash", "-ec", script], { onOutput: (text) => (said += text) });
    return said;
  };
}

/** Milliseconds that curl took for the transfer alone. */
async function curlMs(shell: Shell, what: string): Promise<number> {
  const said = await shell(`curl -sS -m 300 -w '%{time_connect} %{time_total}' ${what}`);
  const [connected = NaN, total = NaN] = said.split(" ").map(Number);
  return (total - connected) * 1000;
}

/** A script that prints how long each of some attempts to connect took, in milliseconds, whether or not they succeed. */
function timesOf(host: string): string {
  return `i=0; while [ $((i += 1)) -le ${connections} ]; do a=\${EPOCHREALTIME/./}
    { b=\${EPOCHREALTIME/./}; } 2>/dev/null 3<>/dev/tcp/${host}/${port} || b=\${EPOCHREALTIME/./}
    echo $((b - a)); done`;
}

function numbers(microseconds: string): number[] {
  const all = microseconds
    .trim()
    .split("\n")
    .map((line) => Number(line) / 1000);
  if (all.length !== connections) throw new Error(`${all.length} of ${connections} attempts to connect`);
  return all;
}

/** From the server to the guest and back to the server, at once. Throws when other bytes come back. */
async function compareBytes(guest: Shell, host: Shell, count: number): Promise<void> {
  const wanted = await host(`curl -sS ${url}/digest/${count}`);
  const got = await guest(`set -o pipefail; curl -sS ${url}/${count} | curl -sS -T - ${url}/digest`);
  if (got !== wanted) throw new Error(`${count} bytes went through the guest, and others came back`);
}

function memoryOf(pid: number | null): number {
  return pssMib(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
}

/** What a process has had of the processors, its threads together; in steps of ten milliseconds. */
function processorMs(pid: number | null): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const [user = NaN, system = NaN] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13)
    .map(Number);
  return (user + system) * 10;
}
