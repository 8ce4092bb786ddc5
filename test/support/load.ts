// Load on a daemon through the SDK in this process: many VMs, many calls at once, many records. What is lost, mixed up, left over or grows
// is an error.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { DatabaseSync } from "node:sqlite";
import type { VmRecord } from "../../src/api/records.ts";
import { resolvePaths } from "../../src/config/paths.ts";
import { mib } from "../../src/lib/units.ts";
import { connect, type Client } from "../../src/sdk/client.ts";
import { exec } from "../../src/sdk/exec.ts";
import { Home } from "./home.ts";
import { until } from "./until.ts";

const spec = { memoryMib: 256, vcpus: 1, diskBytes: 64 * mib, overlayBytes: 64 * mib };
/** VMs that are made or deleted at once. */
const atOnce = 4;

export class LoadHome extends Home {
  readonly client: Client;

  constructor() {
    super({ seeded: true });
    this.client = connect({
      paths: resolvePaths({ BANGER_HOME: this.path }),
      build: { version: "test", builtAt: 0, commit: "test" },
      autoStart: false,
    });
  }

  /** Starts the daemon, as the program does it. */
  async up(): Promise<void> {
    await this.ok(["vm", "list"]);
  }

  async make(name: string, start: boolean): Promise<VmRecord> {
    return await this.client.operate("vm.create", { name, start, ...spec });
  }

  /** Runs a command with input and returns its exit code and output. */
  async exec(vm: string, argv: string[], input = ""): Promise<{ code: number; output: string }> {
    const chunks: Buffer[] = [];
    const sink = () =>
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          chunks.push(chunk);
          done();
        },
      });
    const streams = { stdin: Readable.from([Buffer.from(input)]), stdout: sink(), stderr: sink() };
    const { exited } = await exec(this.client, { vm, argv }, streams);
    const { code } = await exited;
    return { code, output: Buffer.concat(chunks).toString() };
  }

  /** Bytes of memory that the daemon has in use, as the kernel counts it. */
  async daemonMemoryBytes(): Promise<number> {
    const { pid } = await this.client.call("daemon.status", {});
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kib) * 1024;
  }

  /** Open files of the daemon. */
  async daemonFiles(): Promise<number> {
    const { pid } = await this.client.call("daemon.status", {});
    return readdirSync(`/proc/${pid}/fd`).length;
  }

  /** Nothing of VMs is there any more: rows, directories, VMMs. */
  async assertEmpty(): Promise<void> {
    assert.deepEqual((await this.client.call("vm.list", {})).vms, []);
    for (const below of ["state/vms", "run/vms"]) {
      const path = join(this.path, below);
      const left = existsSync(path) ? readdirSync(path) : [];
      assert.deepEqual(left, [], below);
    }
    const vmms = () => this.processes().filter(({ command }) => command.includes("qemu-system"));
    await until("the VMMs to be gone", () => (vmms().length === 0 ? true : undefined));
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await super[Symbol.asyncDispose]();
  }
}

/** Does `count` pieces of work, at most `width` of them at once, in order of their numbers. */
export async function inParallel(count: number, width: number, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
}

/** Makes `count` VMs, the first `running` of them started and used, and deletes all. */
export async function fleet(home: LoadHome, { count, running }: { count: number; running: number }): Promise<void> {
  const vms: VmRecord[] = [];
  await inParallel(count, atOnce, async (number) => {
    vms[number] = await home.make(`load-${number}`, number < running);
  });
  const up = (await home.client.call("vm.list", {})).vms.filter(({ state }) => state === "running");
  assert.equal(up.length, running);
  await Promise.all(
    up.map(async ({ id, name }) => {
      assert.deepEqual(await home.exec(id, ["hostname"]), { code: 0, output: `${name}\n` });
    }),
  );
  await inParallel(count, atOnce, async (number) => {
    await home.client.operate("vm.delete", { vm: (vms[number] as VmRecord).id });
  });
  await home.assertEmpty();
}

/** Commands in VMs that run: each has an input, an output and an exit code of its own. */
export async function execs(
  home: LoadHome,
  { vms, count, inFlight }: { vms: readonly VmRecord[]; count: number; inFlight: number },
): Promise<void> {
  await inParallel(count, inFlight, async (number) => {
    const { id, name } = vms[number % vms.length] as VmRecord;
    const code = number % 256;
    const script = `read line; echo "$(hostname) $line $1"; exit ${code}`;
    const ran = await home.exec(id, ["sh", "-c", script, "sh", `argument ${number}`], `input ${number}\n`);
    assert.deepEqual(ran, { code, output: `${name} input ${number} argument ${number}\n` });
  });
}

/** Copies the row of the only VM, a stopped one, until there are `count`. The daemon must not run. */
export function multiplyRecords(home: LoadHome, count: number): void {
  using database = new DatabaseSync(join(home.path, "state/banger.db"));
  const row = database.prepare("SELECT * FROM vms").get();
  assert.ok(row !== undefined);
  const columns = Object.keys(row);
  const insert = database.prepare(
    `INSERT INTO vms (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
  );
  database.exec("BEGIN");
  for (let number = 1; number < count; number += 1) {
    const hex = number.toString(16).padStart(8, "0");
    // With an address each, which the next daemon would have to give them otherwise, one by one.
    const address = `127.250.${number >> 8}.${number & 255}`;
    const copy = { ...row, id: `${hex}${String(row["id"]).slice(8)}`, name: `copy-${number}`, address };
    insert.run(...Object.values(copy));
  }
  database.exec("COMMIT");
}

/** Takes the copies away again. The daemon must not run. */
export function removeCopies(home: LoadHome): void {
  using database = new DatabaseSync(join(home.path, "state/banger.db"));
  database.exec("DELETE FROM vms WHERE name LIKE 'copy-%'");
}

/** Milliseconds of the quickest of `rounds` runs of `banger vm list --all`. */
export async function listMs(home: LoadHome, rounds: number): Promise<number> {
  let best = Infinity;
  for (let round = 0; round < rounds; round += 1) {
    const began = performance.now();
    await home.ok(["vm", "list", "--all"]);
    best = Math.min(best, performance.now() - began);
  }
  return best;
}

/** Operations and calls of every kind that take little: a VM that is made, looked at, changed and deleted. */
export async function littleThings(home: LoadHome, running: VmRecord, count: number): Promise<void> {
  const { client } = home;
  await inParallel(Math.ceil(count / 4), atOnce, async () => {
    const { id } = await client.operate("vm.create", { start: false, ...spec });
    await client.call("vm.label", { vm: id, set: { a: "b" }, remove: [] });
    await home.exec(running.id, ["true"]);
    await client.call("vm.list", {});
    await client.operate("vm.delete", { vm: id });
  });
}
