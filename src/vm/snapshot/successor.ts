// New VMs that go on from a snapshot: their rows and files, before anything of them runs.
import type { Forward } from "../../api/records.ts";
import { vmPaths } from "../../config/paths.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { ensureDirectory, removeInside } from "../../lib/files.ts";
import { newId } from "../../lib/ids.ts";
import { undone } from "../../lib/undo.ts";
import { generateHostKey } from "../../ssh/host-key.ts";
import { writeKnownHosts } from "../../ssh/known-hosts.ts";
import type { SnapshotRow } from "../../state/snapshots.ts";
import { plainVm, type VmRow } from "../../state/vms.ts";
import { forCopy } from "../network/peers.ts";
import { nextAddress } from "../addresses.ts";
import type { VmContext } from "../context.ts";
import { takeFromSnapshot } from "../workspace/take-along.ts";
import { makeTops } from "./frozen-disks.ts";

export interface SuccessorRequest {
  /** Held by the caller. */
  snapshot: SnapshotRow;
  /** Asked when the record is written, so that a name that is free stays free. */
  name: () => string;
  state: "starting" | "created";
  autoRemove: boolean;
  /** Given away already. Default: a new one. */
  id?: string;
  /** Reserved under the id. */
  forwards?: Forward[];
  labels?: Record<string, string> | undefined;
  lifetime?: VmRow["lifetime"];
  /** Default: the snapshot's. */
  network?: VmRow["network"];
}

/**
 * Makes a VM with disks above the snapshot, the same spec, and its own id and host key. It does not run yet. The caller holds
 * the lock of the new VM when this returns, and disposes of it. After a failure (`vm.name-taken`, `disk.full`, `snapshot.failed`, or
 * the signal's reason) nothing is left.
 */
export async function makeSuccessor(
  context: VmContext,
  request: SuccessorRequest,
  options: { signal: AbortSignal },
): Promise<{ row: VmRow } & Disposable> {
  const { paths, state } = context;
  const { snapshot } = request;
  const id = request.id ?? newId();
  const hostKey = generateHostKey();
  const disks = { id, baseSnapshotId: snapshot.id, diskEpoch: 1 };
  const { dir } = vmPaths(paths, id);
  const lock = await context.locks.acquire(id, options.signal);
  try {
    await ensureDirectory(dir);
    crashPoint("fork.directory-made");
    const files = await Promise.allSettled([
      makeTops(paths, disks, options),
      writeKnownHosts(dir, id, hostKey.publicLine),
      takeFromSnapshot(paths, snapshot, id),
    ]);
    for (const one of files) if (one.status === "rejected") throw one.reason;
    crashPoint("fork.files-made");
    options.signal.throwIfAborted();
    const row: VmRow = {
      ...plainVm,
      labels: request.labels ?? {},
      lifetime: request.lifetime ?? null,
      forwards: request.forwards ?? [],
      ...disks,
      name: request.name(),
      state: request.state,
      reason: "",
      imageId: snapshot.imageId,
      imageName: snapshot.imageName,
      kernelId: snapshot.kernelId,
      kernelName: snapshot.kernelName,
      spec: snapshot.spec,
      init: snapshot.init,
      autoRemove: request.autoRemove,
      workspace: snapshot.workspace,
      network: forCopy(context, request.network === undefined ? snapshot.network : request.network),
      hostKeyPem: hostKey.privatePem,
      hostKeyPublic: hostKey.publicLine,
      bootId: null,
      lastStart: null,
      fingerprint: null,
      createdAt: Date.now(),
      startedAt: null,
    };
    row.address = nextAddress(context.addresses, state.vms);
    state.vms.insert(row);
    crashPoint("fork.recorded");
    return { row, [Symbol.dispose]: () => lock[Symbol.dispose]() };
  } catch (error) {
    throw await undone(
      error,
      () => removeInside(paths.vmsDir, dir),
      () => lock[Symbol.dispose](),
    );
  }
}
