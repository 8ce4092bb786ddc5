// Makes one template: brings a machine that is nobody's up to its Hello and captures it there. Nothing of any VM is in it: its
// disks are empty, and nothing was said to its guest. For one of an image, the guest has put its root together of the image and of blank
// disks, which are kept as they are at that instant.
import { mkdir, open, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { Paths } from "../../config/paths.ts";
import { ensureDisk, saveRecipe } from "../../disk/blank.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { shakeHands } from "../../guest/handshake.ts";
import { deadline } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError, diskFull } from "../../lib/errors.ts";
import { removeInside } from "../../lib/files.ts";
import { newId } from "../../lib/ids.ts";
import type { Progress } from "../../lib/progress.ts";
import { formatBytes, mib } from "../../lib/units.ts";
import type { DiskSpec, Machine, MachineSpec } from "../../vmm/driver.ts";
import type { CaptureTurn, FreshRoot, TemplateShape, TemplateUse, VmContext } from "../context.ts";
import { serials } from "../disk-files.ts";
import { fingerprintOf } from "../fingerprint.ts";
import { directoriesOf } from "../guest-identity.ts";
import { PhaseClock } from "../phases.ts";
import { powerOn } from "../power-on.ts";
import { greet, restoreGuest, type ReachedGuest } from "../reach-guest.ts";
import { captureFiles, recipeFiles, sealTemplate, type TemplateManifest } from "./files.ts";

export interface MakeParts extends Pick<VmContext, "driver" | "connectGuest" | "settings" | "log"> {
  paths: Pick<Paths, "homeId" | "cacheDir">;
  /** Makes the guest forget the session that was on the channel. Default: a new handshake, which goes no further. */
  forgetSession?: (channel: Duplex, signal: AbortSignal) => Promise<void>;
}

/**
 * Disks of a machine whose guest reads nothing of them but where a table of partitions would be. By this size the agent knows that
 * it has not yet seen those of its VM (go/internal/virtio/disk.go).
 */
const placeholderBytes = 64 * mib + 512;

/** More memory than this is not taken by what a first command reads of an image. */
const maxImageBytes = 256 * mib;
/** What the template of a shape takes, when it is not there to be asked. */
const usualBytes = 160 * mib;

/** Disks as every VM has them, below `directory`: what is asked for a shape, and what the machine of a template gets. */
export function placeholderDisks(directory: string): DiskSpec[] {
  return Object.values(serials).map((serial) => ({
    serial,
    path: join(directory, `${serial}.img`),
    readOnly: serial === serials.base,
    format: "raw",
  }));
}

export interface MakeOptions {
  progress: Progress;
  /** Others that want the host's processors go first. */
  background: boolean;
  /**
   * The template of the shape, from which that of an image is made; without it a machine is booted. Disposed of when it is not needed
   * any more.
   */
  shared?: TemplateUse | undefined;
  /** To be held while a machine is captured. */
  capturing(): CaptureTurn;
}

/**
 * Makes a template in `staging`, an empty directory: capture and manifest, durable. The caller owns the directory, also after a failure.
 * No machine is left. Throws `template.failed`, `disk.full`, what `powerOn`, `restoreGuest` and `beginCapture` throw, or the signal's
 * reason.
 */
export async function makeTemplate(
  parts: MakeParts,
  shape: TemplateShape,
  staging: string,
  options: MakeOptions,
): Promise<void> {
  const { progress, shared } = options;
  const { signal } = progress;
  const sharedBytes = shared === undefined ? undefined : await sizeOnDisk(shared.capture.memoryFile);
  await requireRoom(staging, shape.memoryMib * mib);
  const dir = join(staging, "machine");
  await mkdir(dir, { mode: 0o700 });
  const spec = await templateMachine(parts, shape, dir, signal);
  const { machine, agent } = await waitingGuest(parts, spec, options);
  {
    await using undo = new AsyncDisposableStack();
    undo.defer(() => machine.kill());
    const { bootTimeoutMs } = parts.settings;
    // Programs of the image have run in it: it may not answer.
    using limit = deadline(
      signal,
      bootTimeoutMs,
      () =>
        new BangerError("template.failed", `the guest was not ready to be captured within ${bootTimeoutMs / 1000} s`),
    );
    await prepareGuest(agent, shape, progress, limit.signal);
    const forget = parts.forgetSession ?? handshakeOnly;
    await forget(await machine.controlChannel({ signal: limit.signal }), limit.signal);
    progress.stage("capture", `${shape.memoryMib} MiB`);
    await captureMachine(machine, staging, shape, { signal, capturing: options.capturing });
    crashPoint("template.captured");
  }

  progress.stage("store");
  if (shape.root !== undefined) {
    await refuseBloat(staging, sharedBytes);
    await keepDisks(spec, staging, signal);
  }
  await removeInside(staging, dir);
  crashPoint("template.machine-removed");
  await sealTemplate(staging, {
    id: shape.fingerprint,
    kernel: { id: shape.kernel.id, name: shape.kernel.name },
    vcpus: shape.vcpus,
    memoryMib: shape.memoryMib,
    root: shape.root === undefined ? null : rootRecord(shape.root),
    vmm: await vmmText(parts, spec, signal),
    createdAt: Date.now(),
  });
  crashPoint("template.sealed");
  signal.throwIfAborted();
}

/**
 * Wants as much room as the memory can take: a template must not be what fills the disk that VMs write to. Throws `disk.full`.
 */
export async function requireRoom(directory: string, wantedBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  if (freeBytes >= wantedBytes) return;
  throw diskFull(
    `a memory template may take ${formatBytes(wantedBytes)}, and ${formatBytes(freeBytes)} are free below "${directory}"`,
  );
}

async function templateMachine(
  parts: MakeParts,
  shape: TemplateShape,
  dir: string,
  signal: AbortSignal,
): Promise<MachineSpec> {
  const disks = placeholderDisks(dir);
  for (const disk of disks) {
    if (shape.root !== undefined) {
      await fillDisk(parts, disk, shape.root, signal);
      continue;
    }
    await using file = await open(disk.path, "wx", 0o600);
    await file.truncate(placeholderBytes);
  }
  const { kernel, initrd, vcpus, memoryMib } = shape;
  const spec: MachineSpec = {
    // No VM has such an id: a daemon that comes later ends the machine as one without a record.
    vmId: `template-${newId()}`,
    homeId: parts.paths.homeId,
    dir,
    kernel: kernel.kernelPath,
    initrd,
    kernelArguments: [],
    vcpus,
    memoryMib,
    disks,
  };
  const fingerprint = await fingerprintOf(parts.driver, spec, { signal });
  if (fingerprint === (shape.root?.shape ?? shape.fingerprint)) return spec;
  throw new BangerError("template.failed", "the VMM or this host changed since the template was asked for");
}

/** Makes of a disk what a fresh VM of the image has. */
async function fillDisk(
  { paths }: MakeParts,
  disk: DiskSpec,
  { image, overlayBytes, diskBytes }: FreshRoot,
  signal: AbortSignal,
): Promise<void> {
  if (disk.readOnly) disk.path = image.rootfsPath;
  else {
    const sizeBytes = disk.serial === serials.overlay ? overlayBytes : diskBytes;
    await ensureDisk(disk.path, disk.serial, sizeBytes, signal, paths.cacheDir);
  }
}

/** A machine whose guest may be greeted. The caller owns both. */
async function waitingGuest(parts: MakeParts, spec: MachineSpec, options: MakeOptions): Promise<ReachedGuest> {
  const { progress, background, shared } = options;
  const { signal } = progress;
  const consoleLog = join(spec.dir, "console.log");
  const size = `${spec.vcpus} vcpu, ${spec.memoryMib} MiB`;
  if (shared === undefined) {
    progress.stage("boot", size);
    return await powerOn(parts, spec, { consoleLog, signal, background });
  }
  progress.stage("restore", size);
  // A start that finds it bad waits for its last user.
  using use = shared;
  return await restoreGuest(parts, spec, use.capture, { clock: new PhaseClock(), consoleLog, signal, background });
}

/** Ends the session. */
async function prepareGuest(
  agent: GuestAgent,
  { root }: TemplateShape,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  await using session = agent;
  await greet(session, "waiting", { signal });
  if (root === undefined) return;
  progress.stage("assemble", root.image.name);
  await session.assemble({ disks: serials, directories: directoriesOf(root.image.config) }, { signal });
  crashPoint("template.assembled");
}

/** Until the guest has acknowledged a new handshake, it may still serve the session before it. */
async function handshakeOnly(channel: Duplex, signal: AbortSignal): Promise<void> {
  channel.on("error", () => {});
  try {
    await shakeHands(channel, signal);
  } finally {
    channel.destroy();
  }
}

async function captureMachine(
  machine: Machine,
  staging: string,
  { root }: TemplateShape,
  { signal, capturing }: { signal: AbortSignal; capturing: MakeOptions["capturing"] },
): Promise<void> {
  using turn = capturing();
  await using capture = await machine.beginCapture(captureFiles(staging), { signal });
  if (capture.spareBase !== undefined) turn.based(capture.spareBase);
  await machine.pause();
  // With a root, the disks of the VMs are those that the guest has seen.
  if (root === undefined) await machine.announceDisks();
  await capture.finish({ signal });
}

/** Memory that programs of an image have filled must not push the templates of others out. */
async function refuseBloat(staging: string, sharedBytes = usualBytes): Promise<void> {
  const moreBytes = (await sizeOnDisk(captureFiles(staging).memoryFile)) - sharedBytes;
  if (moreBytes <= maxImageBytes) return;
  throw new BangerError(
    "template.failed",
    `the image fills ${formatBytes(moreBytes)} of its template's memory, at most ${formatBytes(maxImageBytes)} are kept`,
  );
}

const sizeOnDisk = async (path: string): Promise<number> => (await stat(path)).blocks * 512;

/** Of a machine that has ended: as it has left them, which is as they were captured, since its CPUs stood still. */
async function keepDisks({ disks }: MachineSpec, staging: string, signal: AbortSignal): Promise<void> {
  const recipes = recipeFiles(staging);
  for (const { serial, path } of disks) {
    if (serial !== serials.overlay && serial !== serials.work) continue;
    if (await saveRecipe(path, recipes[serial], { signal })) continue;
    throw new BangerError("template.failed", `the image puts more on its ${serial} disk than a template keeps`);
  }
}

const rootRecord = ({ image: { id, name }, overlayBytes, diskBytes }: FreshRoot): TemplateManifest["root"] => ({
  image: { id, name },
  overlayBytes,
  diskBytes,
});

async function vmmText({ driver }: MakeParts, spec: MachineSpec, signal: AbortSignal): Promise<string> {
  const [{ accelerator }, shape] = await Promise.all([driver.features({ signal }), driver.shape(spec, { signal })]);
  const version = /\d+\.\d+(?:\.\d+)?/.exec(shape)?.[0] ?? "";
  return [driver.name, version, accelerator].filter((word) => word !== "").join(" ");
}
