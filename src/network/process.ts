// The processes of banger-netd: how one is started for a VM, and which there are. Each is known by its command line, which names
// the VM and the start, so nothing has to be recorded and no record has to be believed.
import { open, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError } from "../lib/errors.ts";
import { removeInside } from "../lib/files.ts";
import {
  allPids,
  argumentsOf,
  killProcess,
  type ProcessIdentity,
  startTicksOf,
  waitUntilGone,
} from "../lib/process-table.ts";
import { startDetached } from "../lib/run.ts";

/** Names in the directory of the VM. The control socket is netd's; its log is what it prints. */
export const controlSocketName = "netd.sock";
/** Where other VMs of its network come in; the second one is netd's for datagrams. */
export const peerSocketName = "peer.sock";
const peerSockets = [peerSocketName, `${peerSocketName}.datagrams`];
const logName = "netd.log";
const configPattern = /^netd-([0-9a-z]{1,32})\.json$/;
const configName = (startId: string) => `netd-${startId}.json`;

const goneTimeoutMs = 10_000;

export interface NetdProcess extends ProcessIdentity {
  vmId: string;
  /** Tells this process from others of the same VM; it says so itself (`Status`). */
  startId: string;
}

export interface NetdStart {
  program: string;
  vmId: string;
  startId: string;
  /** Of the VM, absolute. */
  dir: string;
  /** Name, in it, of the socket that the VMM listens on. */
  vmmSocket: string;
  /** In JSON; may hold secrets. */
  config: string;
}

/**
 * Starts one; it outlives the daemon, and ends by itself when its VMM closes the connection or does not come. `ready` resolves when its
 * control socket answers, or rejects with `network.failed` and its last words; then it is gone. The caller owns it before that, too.
 */
export async function startNetd(start: NetdStart): Promise<{
  process: NetdProcess;
  exited: Promise<string>;
  ready: Promise<void>;
}> {
  const { dir, vmId, startId } = start;
  const configFile = join(dir, configName(startId));
  await removeConfigs(dir);
  await writeFile(configFile, start.config, { mode: 0o600, flag: "wx" });
  crashPoint("network.configured");
  await using log = await open(join(dir, logName), "w", 0o600);
  const { pid, exited, announcement } = startDetached({
    file: start.program,
    args: [
      ...["--vm-connect", start.vmmSocket],
      ...["--control-socket", controlSocketName],
      ...["--config", configFile],
      ...["--ready-fd", "3"],
    ],
    cwd: dir,
    outputFd: log.fd,
    announces: true,
  });
  crashPoint("network.spawned");
  // No living process has the start time -1.
  const process: NetdProcess = { pid, startTicks: startTicksOf(pid) ?? -1, vmId, startId };
  const ready = announcement.then(async (line) => {
    // Read once, at the start; it may hold secrets.
    await removeConfigs(dir);
    if (line === "ready") return;
    throw startFailure(await lastWords(dir));
  });
  // It may fail before anybody waits for it.
  ready.catch(() => {});
  return { process, exited, ready };
}

/** Of a netd that said these words at its end: it judges the rules once more, with what it knows of addresses. */
function startFailure(words: string): BangerError {
  const rule = /: (rule for ".*)$/.exec(words)?.[1];
  return rule === undefined
    ? new BangerError("network.failed", `the network of the VM did not start${words}`, { hint: "banger doctor" })
    : new BangerError("network.policy-invalid", rule, { hint: "banger net policy <vm> --remove RULE" });
}

/** ": " and the last line that the last netd of this VM printed; empty when it said nothing. */
export async function lastWords(dir: string): Promise<string> {
  const maxBytes = 4096;
  try {
    await using file = await open(join(dir, logName), "r");
    const { size } = await file.stat();
    const tail = Buffer.alloc(Math.min(size, maxBytes));
    await file.read(tail, 0, tail.length, Math.max(0, size - maxBytes));
    const line = tail.toString("utf8").trimEnd().split("\n").at(-1) ?? "";
    return line === "" ? "" : `: ${line}`;
  } catch {
    return "";
  }
}

async function removeConfigs(dir: string): Promise<void> {
  for (const name of await readdir(dir)) if (configPattern.test(name)) await removeInside(dir, join(dir, name));
}

/** Removes what a netd that is gone has left in the directory of its VM; its log stays. */
export async function removeNetdFiles(dir: string): Promise<void> {
  await removeConfigs(dir).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  });
  for (const name of [controlSocketName, ...peerSockets]) await removeInside(dir, join(dir, name));
}

/** Those of the VMs whose directories lie in `vmsDir`, seen in the process table. */
export function listNetds(vmsDir: string): NetdProcess[] {
  return allPids().flatMap((pid) => {
    const found = identify(pid, vmsDir);
    return found === undefined ? [] : [found];
  });
}

function identify(pid: number, vmsDir: string): NetdProcess | undefined {
  const args = argumentsOf(pid);
  if (!basename(args[0] ?? "").startsWith("banger-netd")) return undefined;
  const config = args[args.indexOf("--config") + 1] ?? "";
  const vmDir = dirname(config);
  const startId = configPattern.exec(basename(config))?.[1];
  const startTicks = startTicksOf(pid);
  if (startId === undefined || startTicks === undefined || dirname(vmDir) !== vmsDir) return undefined;
  return { pid, startTicks, vmId: basename(vmDir), startId };
}

/** Ends one, and removes what it leaves. Resolves when it is gone. */
export async function endNetd(process: NetdProcess, dir: string): Promise<void> {
  killProcess(process);
  await waitUntilGone(process, goneTimeoutMs);
  await removeNetdFiles(dir);
}
