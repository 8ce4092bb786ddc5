// Makes a VM: name and spec checked first, image and kernel found or pulled, then the record, then the first start.
import type { Params } from "../api/method.ts";
import type { Methods } from "../api/methods.ts";
import type { ImageRecord } from "../api/records.ts";
import { vmPaths } from "../config/paths.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { isToBeUndone } from "../lib/cancellation.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { ensureDirectory, removeInside } from "../lib/files.ts";
import { hostArchitecture } from "../image/manifest.ts";
import { newId, newName } from "../lib/ids.ts";
import type { Progress } from "../lib/progress.ts";
import { undone } from "../lib/undo.ts";
import { resolveNetwork } from "./network/resolve.ts";
import { generateHostKey } from "../ssh/host-key.ts";
import { writeKnownHosts } from "../ssh/known-hosts.ts";
import { plainVm, type VmRow } from "../state/vms.ts";
import { nextAddress } from "./addresses.ts";
import type { Store, VmContext } from "./context.ts";
import { PhaseClock } from "./phases.ts";
import { removeVm } from "./remove.ts";
import { lifetimeOf } from "./last-use.ts";
import { checkName, resolveSpec } from "./spec.ts";
import { startVm } from "./start.ts";

export type CreateRequest = Params<Methods["vm.create"]>;

/**
 * Makes a VM and starts it unless `start` is false. A request that cannot be met leaves nothing. A VM whose first start fails or
 * is cancelled stays listed with the reason, so that its console can be read; with `autoRemove`, and when whoever cancels wants nothing
 * to stay, it goes. `onNamed` is called once the VM is listed under its name.
 */
export async function createVm(
  context: VmContext,
  request: CreateRequest,
  progress: Progress,
  onNamed: (name: string) => void = () => {},
): Promise<VmRow> {
  const clock = new PhaseClock();
  const spec = resolveSpec(request, context.settings.vmDefaults);
  if (request.name !== undefined) {
    checkName(request.name);
    if (context.state.vms.byName(request.name) !== undefined) throw nameTaken(request.name);
  }
  const network = resolveNetwork(context, request.network);
  const id = newId();
  // Before anything is fetched: a port that is taken makes the rest useless.
  using ports = await context.forwards.reserve(id, request.publish ?? []);
  crashPoint("create.ports-reserved");
  const asked = request.image ?? context.settings.defaultImage;
  progress.stage("resolve", asked);
  const pull = request.pull ?? true;
  const image = await findOrPull(context.images, asked, pull, progress);
  checkMachine(image);
  const kernel = await findOrPull(context.kernels, request.kernel ?? context.settings.defaultKernel, pull, progress);
  progress.signal.throwIfAborted();

  const start = request.start ?? true;
  const hostKey = generateHostKey();
  const row: VmRow = {
    ...plainVm,
    id,
    name: request.name ?? freeName(context),
    // Written once: there is nothing to do between this and the start.
    state: start ? "starting" : "created",
    reason: "",
    imageId: image.id,
    // Of its names, the one that was asked for.
    imageName: image.tags.includes(asked) ? asked : image.name,
    kernelId: kernel.id,
    kernelName: kernel.name,
    spec,
    autoRemove: request.autoRemove ?? false,
    workspace: null,
    hostKeyPem: hostKey.privatePem,
    hostKeyPublic: hostKey.publicLine,
    bootId: null,
    baseSnapshotId: null,
    diskEpoch: 0,
    init: request.init ?? null,
    network,
    labels: request.labels ?? {},
    lifetime: lifetimeOf(request.lifetime),
    forwards: ports.forwards,
    lastStart: null,
    fingerprint: null,
    createdAt: Date.now(),
    startedAt: null,
  };
  const { signal } = progress;
  const { dir } = vmPaths(context.paths, row.id);
  using _lock = await context.locks.acquire(row.id, neverAborted);
  await ensureDirectory(dir);
  crashPoint("create.directory-made");
  // Made while the record is written; nobody else knows the directory yet.
  const pin = writeKnownHosts(dir, row.id, hostKey.publicLine);
  const pinned = Promise.allSettled([pin]);
  try {
    // Of two that are made at once, both may have chosen the same.
    if (request.name === undefined) row.name = freeName(context);
    row.address = nextAddress(context.addresses, context.state.vms);
    context.state.vms.insert(row);
    crashPoint("create.recorded");
  } catch (error) {
    throw await undone(
      error,
      () => pinned,
      () => removeInside(context.paths.vmsDir, dir),
    );
  }
  onNamed(row.name);
  try {
    if (start) await startVm(context, row, progress, { cold: request.cold, clock });
    await pin;
    crashPoint("create.started");
  } catch (error) {
    await pinned;
    if (!row.autoRemove && !isToBeUndone(signal)) throw keptError(error, row.name);
    throw await undone(error, () => removeVm(context, row));
  }
  return row;
}

/** Kinds of programs that a kernel of this machine's kind runs, as configs of images write them. */
const runnable: Readonly<Record<string, readonly string[]>> = { amd64: ["amd64", "386"], arm64: ["arm64", "arm"] };

/** Refuses what says that it is for another machine: of a file system nobody but its first program says so. */
function checkMachine({ name, architecture, digests, source }: ImageRecord): void {
  if (digests === null || runnable[hostArchitecture]?.includes(architecture) === true) return;
  throw new BangerError(
    "vm.spec-invalid",
    `image "${name}" is for linux/${architecture}, and this machine runs linux/${hostArchitecture}: no program in it could run`,
    source.startsWith("registry:")
      ? { hint: `banger image pull ${source.slice("registry:".length)}  # takes the one for this machine` }
      : {},
  );
}

async function findOrPull<R>(store: Store<R>, reference: string, pull: boolean, progress: Progress): Promise<R> {
  try {
    return store.resolve(reference);
  } catch (error) {
    const missing = ["image.not-found", "kernel.not-found"].includes(toBangerError(error).code);
    if (!missing || !pull || !store.inCatalog(reference)) throw error;
    return await store.pull(reference, { force: false }, progress);
  }
}

function freeName(context: VmContext): string {
  for (let attempt = 0; attempt < 20; attempt++) {
    const name = newName();
    if (context.state.vms.byName(name) === undefined) return name;
  }
  return `vm-${newId()}`;
}

function nameTaken(name: string): BangerError {
  return new BangerError("vm.name-taken", `a VM named "${name}" exists already`, {
    hint: `banger vm show ${name}  # or: banger vm delete ${name}`,
  });
}

function keptError(thrown: unknown, name: string): BangerError {
  const error = toBangerError(thrown);
  return new BangerError(error.code, error.message, {
    hint: error.hint ?? `banger vm logs ${name}  # then: banger vm start ${name}, or banger vm delete ${name}`,
    cause: error.cause,
    details: { ...error.details, vm: name },
  });
}

const neverAborted = new AbortController().signal;
