// What must hold once a daemon has come back, wherever the one before it died: nothing that was acknowledged is lost, and nothing
// is left over.
import assert from "node:assert/strict";
import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { VmRecord } from "../../src/api/records.ts";
import type { CrashHome } from "./crash-home.ts";
import { until } from "./until.ts";

/** Two VMs that no verb touches, and what they were when they were made. */
export interface Witnesses {
  running: VmRecord;
  stopped: VmRecord;
  /** State of the stopped one's disk files: nobody may write to them. */
  disks: string;
}

/** Makes both. */
export async function makeWitnesses(home: CrashHome): Promise<Witnesses> {
  const running = await home.makeMarked("awake");
  await home.makeMarked("asleep");
  const stopped = await home.client.operate("vm.stop", { vm: "asleep" });
  return { running, stopped, disks: disksOf(stopped) };
}

/** To be called after each kill; starts the daemon that comes back. `acknowledged`: ids of VMs whose creation was told of. */
export async function checkAfterCrash(
  home: CrashHome,
  witnesses: Witnesses,
  acknowledged: readonly string[] = [],
): Promise<void> {
  const records = await home.records();
  const { running, stopped, disks } = witnesses;
  const lost = [running.id, stopped.id, ...acknowledged].filter((id) => !records.some((vm) => vm.id === id));
  assert.deepEqual(lost, [], "VMs are lost");
  const awake = records.find(({ id }) => id === running.id);
  assert.deepEqual([awake?.state, awake?.bootId, awake?.pid], ["running", running.bootId, running.pid]);
  const [bootId, mark] = (
    await home.output(running.id, "cat", "/proc/sys/kernel/random/boot_id", "/root/marker")
  ).split("\n");
  assert.deepEqual([bootId, mark], [running.bootId, running.id]);
  const asleep = records.find(({ id }) => id === stopped.id);
  assert.deepEqual([asleep?.state, asleep && disksOf(asleep)], ["stopped", disks]);
  const broken = records.filter(({ state }) => ["broken", "starting", "stopping"].includes(state));
  assert.deepEqual(
    broken.map(({ name, state, reason }) => [name, state, reason]),
    [],
    "VMs are in no state that a user can go on from",
  );
  await checkNetworks(home);
  let left: string[] = [];
  // Children of the daemon that died end with it, a moment later.
  await until(
    "nothing to be left over",
    async () => ((left = await leftOver(home)).length === 0 ? true : undefined),
    10_000,
  ).catch((error: unknown) => {
    home.leaks += left.length;
    throw new Error(`left over: ${left.join(", ")}`, { cause: error });
  });
}

/** VMs with a machine, be it paused, have the network that their record says, and what that names is there, whole. */
async function checkNetworks(home: CrashHome): Promise<void> {
  const { secrets } = await home.client.call("secret.list", {});
  const { networks } = await home.client.call("network.list", {});
  for (const { name, network } of await home.records()) {
    const lost = network.secrets.filter((secret) => !secrets.some((one) => one.name === secret));
    assert.deepEqual(lost, [], `secrets of VM ${name} are gone`);
    const joined = network.join?.network;
    const there = joined === undefined || networks.some((one) => one.name === joined);
    assert.ok(there, `the network of VM ${name} is gone`);
  }
  let wrong: string[] = [];
  await until("networks to be up again", async () => {
    wrong = (await home.records())
      .filter(({ pid, network }) => network.state !== (pid !== null && network.mode !== "none" ? "up" : "off"))
      .map(({ name, state, network }) => `${name} (${state}): ${network.mode} ${network.state} ${network.reason}`);
    return wrong.length === 0 ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`networks are not as they should be: ${wrong.join(", ")}`, { cause: error });
  });
}

/** All that is there without belonging to anything, in words. */
export async function leftOver(home: CrashHome): Promise<string[]> {
  const records = await home.records();
  const { pid } = await home.client.call("daemon.status", {});
  const { operations } = await home.client.call("operation.list", {});
  const machines = new Map(
    records.flatMap((vm) => [vm.pid, vm.network.pid].flatMap((one) => (one === null ? [] : [[one, vm] as const]))),
  );
  return [
    ...operations.filter(({ done }) => !done).map(({ id, kind }) => `operation ${kind} ${id} has no end`),
    ...home
      .processes()
      .filter((one) => one.pid !== pid && !machines.has(one.pid))
      .map((one) => `process ${one.pid} ${one.command.slice(0, 100)}`),
    ...mounts(home),
    ...unfinishedFiles(home),
    ...strangeVmFiles(home, records),
    ...strangeSnapshots(home),
    ...strangeArtifacts(home),
    ...(await strangePorts(home, records, pid)),
  ];
}

function mounts(home: CrashHome): string[] {
  const all = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return all.filter((line) => line.includes(home.path)).map((line) => `mount ${line}`);
}

/** Names that only what is being made has. */
function unfinishedFiles(home: CrashHome): string[] {
  return readdirSync(home.path, { recursive: true, encoding: "utf8" })
    .filter((path) => /staging-|applies\/|\.tmp$|\.new$|paused\.used|\.pruned-/.test(path))
    .map((path) => `file ${path}`);
}

const always = /^(?:known_hosts|console\.log|vmm\.log|netd\.log)$/;
const ofMachines = /^(?:qmp\.sock|agent\.sock|net\.sock|vmm\.json)$/;
const disk = /^(overlay|work)\.(?:ext4|\d+\.[0-9a-z]+\.qcow2)$/;

function strangeVmFiles(home: CrashHome, records: readonly VmRecord[]): string[] {
  const directory = join(home.path, "state/vms");
  return readdirSync(directory).flatMap((id) => {
    const vm = records.find((record) => record.id === id);
    if (vm === undefined) return [`directory of a VM ${id}`];
    const names = readdirSync(join(directory, id));
    const disks = names.flatMap((name) => disk.exec(name)?.[1] ?? []);
    const strange = names.filter((name) => {
      if (always.test(name) || disk.test(name)) return false;
      if (name === "netd.sock" || name.startsWith("peer.sock")) return vm.network.pid === null;
      if (name.startsWith("workspace")) return name !== `workspace-${vm.workspace?.preparedAt}`;
      return ofMachines.test(name) ? vm.pid === null : !(name === "paused" && vm.state === "paused");
    });
    if (new Set(disks).size !== disks.length) strange.push(...names.filter((name) => disk.test(name)));
    return strange.map((name) => `file ${name} of VM ${vm.name} (${vm.state})`);
  });
}

/** The API does not show snapshots without a name: they are there for the disks that rest on them. */
function strangeSnapshots(home: CrashHome): string[] {
  const database = new DatabaseSync(join(home.path, "state/banger.db"), { readOnly: true });
  try {
    const rows = database.prepare("SELECT id, name, complete, parent_id FROM snapshots").all();
    const vms = database.prepare("SELECT base_snapshot_id FROM vms").all();
    const used = new Set([...rows.map((row) => row["parent_id"]), ...vms.map((vm) => vm["base_snapshot_id"])]);
    const ids = new Set(rows.map((row) => row["id"]));
    return [
      ...rows.filter((row) => row["complete"] !== 1).map(({ id }) => `snapshot ${String(id)} is not complete`),
      ...rows
        .filter((row) => row["name"] === null && !used.has(row["id"]))
        .map(({ id }) => `snapshot ${String(id)} without a user`),
      ...readdirSync(join(home.path, "state/snapshots"))
        .filter((name) => !ids.has(name))
        .map((name) => `directory of a snapshot ${name}`),
    ];
  } finally {
    database.close();
  }
}

function strangeArtifacts(home: CrashHome): string[] {
  const database = new DatabaseSync(join(home.path, "state/banger.db"), { readOnly: true });
  try {
    const stored = (["images", "kernels"] as const).flatMap((kind) => {
      const ids = database.prepare(`SELECT id FROM ${kind}`).all();
      const known = new Set(ids.map(({ id }) => id));
      const found = readdirSync(join(home.path, "state", kind));
      return [
        ...found.filter((name) => !known.has(name)).map((name) => `directory of ${kind} ${name}`),
        ...[...known].filter((id) => !found.includes(String(id))).map((id) => `row of ${kind} ${String(id)}`),
      ];
    });
    const templates = join(home.path, "cache/templates");
    const halves = readdirSync(templates).filter((id) => !exists(join(templates, id, "manifest.json")));
    return [...stored, ...halves.map((id) => `half a template ${id}`)];
  } finally {
    database.close();
  }
}

/** TCP ports on which the daemon listens, and no VM's record says so. */
async function strangePorts(home: CrashHome, records: readonly VmRecord[], daemonPid: number): Promise<string[]> {
  const wanted = new Set<string>();
  for (const { id } of records) {
    const { forwards } = await home.client.call("vm.forwards", { vm: id });
    for (const { listen, listening } of forwards) if (listening) wanted.add(listen.slice(listen.lastIndexOf(":") + 1));
  }
  return listeningPorts(daemonPid)
    .filter((port) => !wanted.has(String(port)))
    .map((port) => `port ${port}`);
}

function listeningPorts(pid: number): number[] {
  const sockets = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const inode = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false })?.ino;
      return inode === undefined ? [] : [String(inode)];
    }),
  );
  return readFileSync(`/proc/${pid}/net/tcp`, "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words[3] === "0A" && sockets.has(words[9] ?? ""))
    .map((words) => Number.parseInt(words[1]?.split(":")[1] ?? "", 16));
}

function disksOf({ dir }: VmRecord): string {
  const names = readdirSync(dir).filter((name) => disk.test(name));
  return names
    .map((name) => {
      const { ino, size, blocks, mtimeMs } = lstatSync(join(dir, name));
      return [name, ino, size, blocks, mtimeMs].join(" ");
    })
    .join("\n");
}

const exists = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;
