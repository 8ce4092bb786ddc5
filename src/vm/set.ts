// Other sizes for a VM. Disks grow first and the record changes afterwards: whenever the daemon ends in between, a disk is larger than
// its record says, which is as good, and the same call again does the rest. CPUs and memory are the next machine's.
import { existsSync } from "node:fs";
import type { SpecPart } from "../api/set-methods.ts";
import type { VmSpec } from "../api/records.ts";
import { growDisk } from "../disk/grow.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import type { Progress } from "../lib/progress.ts";
import { formatBytes } from "../lib/units.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";
import { serials, vmDisk } from "./disk-files.ts";
import { asStarted } from "./machine-shape.ts";
import type { Session } from "./sessions.ts";
import { resolveSpec, type SpecRequest } from "./spec.ts";
import { unlessTakenOver } from "./take-over.ts";

/** How long a guest may take to hear of a larger disk and to lay out its new part. */
const growTimeoutMs = 120_000;

/** The disks whose size can be said, each with its name in the spec and the option for it. */
const disks = [
  { serial: serials.work, part: "diskBytes", option: "--disk-size" },
  { serial: serials.overlay, part: "overlayBytes", option: "--system-overlay-size" },
] as const;

/**
 * Changes the spec of the VM of `row`; the caller holds its lock. Resolves with what a machine that runs has otherwise until its next
 * start: CPUs, memory, and a disk whose file system could not grow now. Throws `vm.spec-invalid` (also for a disk that would get
 * smaller), `vm.wrong-state` for a VM that is paused, `disk.full`, `snapshot.failed`, `vmm.failed`, `cancelled` when
 * another verb has ended the VM meanwhile; then the record is as before.
 */
export async function setVm(
  context: VmContext,
  row: VmRow,
  change: SpecRequest,
  progress: Progress,
): Promise<SpecPart[]> {
  const spec = resolveSpec(change, row.spec, { help: "banger vm set --help" });
  for (const disk of disks) checkGrowth(disk, row, spec);
  if (row.state === "paused") {
    throw new BangerError("vm.wrong-state", `VM "${row.name}" is paused: its memory knows the sizes that it has`, {
      hint: `banger vm resume ${row.name}`,
    });
  }
  const session = context.sessions.get(row.id);
  const wanted = disks.filter(({ part }) => change[part] !== undefined);
  for (const { serial, part } of wanted) {
    progress.stage("grow", `${serial} disk to ${formatBytes(spec[part])}`);
    if (session === undefined) spec[part] = await growAtRest(context, row, serial, spec[part], progress.signal);
    else spec[part] = await growInMachine(row, session, serial, spec[part]);
    crashPoint("set.disk-grown");
  }
  context.state.vms.update(row.id, { spec });
  crashPoint("set.recorded");
  if (session === undefined) return [];
  const { spec: now } = asStarted(row);
  const parts: SpecPart[] = (["vcpus", "memoryMib"] as const).filter((part) => spec[part] !== now[part]);
  const grown = Object.fromEntries(wanted.map(({ part }) => [part, spec[part]]));
  if (wanted.length > 0 && !(await growInGuest(context, row, session, grown, progress.signal))) {
    parts.push(...wanted.map(({ part }) => part));
  }
  return parts;
}

function checkGrowth({ part, option }: (typeof disks)[number], { name, spec: { [part]: now } }: VmRow, spec: VmSpec) {
  if (spec[part] >= now) return;
  throw new BangerError(
    "vm.spec-invalid",
    `${option} ${formatBytes(spec[part])} is less than the ${formatBytes(now)} that VM "${name}" has: disks cannot be made smaller`,
    { hint: `banger vm create ${option} ${Math.floor(spec[part] / 1024 ** 2)}M  # a new VM` },
  );
}

async function growInMachine(
  row: VmRow,
  session: Session,
  serial: (typeof disks)[number]["serial"],
  sizeBytes: number,
): Promise<number> {
  try {
    return await session.machine.growDisk(serial, sizeBytes);
  } catch (error) {
    throw unlessTakenOver(error, session, row, "its disk grew");
  }
}

/** A disk that the VM's first start would make has its size from the record. */
async function growAtRest(
  context: VmContext,
  row: VmRow,
  serial: (typeof disks)[number]["serial"],
  sizeBytes: number,
  signal: AbortSignal,
): Promise<number> {
  const { path, format } = vmDisk(context.paths, row, serial);
  return existsSync(path) ? await growDisk(path, format, sizeBytes, { signal }) : sizeBytes;
}

/** False when the guest has to wait for its next start, at which it looks by itself. */
async function growInGuest(
  context: VmContext,
  row: VmRow,
  session: Session,
  { diskBytes = 0, overlayBytes = 0 }: Partial<VmSpec>,
  signal: AbortSignal,
): Promise<boolean> {
  if (row.state !== "running") return false;
  using limit = deadline(signal, growTimeoutMs, () => {
    return new BangerError("guest.unreachable", `the guest did not answer within ${growTimeoutMs / 1000} s`);
  });
  try {
    const agent = await orAborted(session.agent, limit.signal);
    await agent.growDisks({ workBytes: diskBytes, overlayBytes, signal: limit.signal });
    crashPoint("set.file-systems-grown");
    return true;
  } catch (error) {
    signal.throwIfAborted();
    const { message } = toBangerError(error);
    context.log.warn("the file systems of a guest did not grow", { vm: row.id, reason: message });
    return false;
  }
}
