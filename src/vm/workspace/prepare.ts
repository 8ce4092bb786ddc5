// Puts a repository into a running VM: everything is made ready on the host and sent, and takes the place of the old in one step.
import { createHash, randomBytes } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { join as guestJoin } from "node:path/posix";
import type { ParamsOf, ResultOf } from "../../api/methods.ts";
import type { VmRecord } from "../../api/records.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { removeInside } from "../../lib/files.ts";
import type { Progress } from "../../lib/progress.ts";
import { lfsPointers } from "../../workspace/lfs.ts";
import { couldCome } from "../../workspace/plan.ts";
import { ship } from "../../workspace/ship.ts";
import { metaBelowGit } from "../../workspace/staging/dot-git.ts";
import { makeShipment, type Shipment, type ShipmentRequest } from "../../workspace/staging/shipment.ts";
import { openSource } from "../../workspace/source/source.ts";
import { Staging } from "../../workspace/staging/staging.ts";
import { HostSide } from "../../workspace/sync.ts";
import { hostDirectory, removeOthers, unfinishedDirectory } from "./host-directory.ts";
import { defaultGuestPath, refuseToLose, withWayOn, wouldLose } from "./refusals.ts";
import { wantedShipment } from "./request.ts";
import { syncWorkspace } from "./sync.ts";
import type { WorkspaceVms } from "./workspaces.ts";

/** Throws `workspace.changed` when work of the guest would be lost, `workspace.not-a-repository`, `workspace.failed`. */
export async function prepareWorkspace(
  vms: WorkspaceVms,
  { record, agent }: { record: VmRecord; agent: GuestAgent },
  params: ParamsOf<"workspace.prepare">,
  progress: Progress,
): Promise<ResultOf<"workspace.prepare">> {
  const { signal } = progress;
  const request = wantedShipment(params);
  const { force = false } = params;
  const guestPath = guestJoin("/", params.guestPath ?? defaultGuestPath).replace(/(?<=.)\/$/, "");
  progress.stage("inspect", params.path);
  const source = await openSource(params.path, { signal });
  const metaPath = knownMeta(record, guestPath);
  const place = { record, guestPath, metaPath, source, path: params.path };
  if (!force) await refuseToLose(agent, place, { signal });

  await removeOthers(record, "all");
  const directory = unfinishedDirectory(record.dir, randomBytes(4).toString("hex"));
  signal.throwIfAborted();
  // Not its parents: those of a VM that is deleted meanwhile must not come back.
  await mkdir(directory, { mode: 0o700 });
  try {
    progress.stage("collect", `${source.name} in mode ${request.mode}`);
    const shipment = await makeShipment(source, directory, request, { signal });
    progress.stage("ship", `${shipment.files.length} files of ${source.name} to ${guestPath}`);
    const newMetaPath = request.mode === "copy" ? separateMeta(guestPath) : "";
    const { reply, sentBytes } = await ship(
      {
        scratch: directory,
        filesRoot: shipment.filesRoot,
        files: shipment.files,
        extra: { root: shipment.extraRoot, name: shipment.extra },
      },
      (tar, end) =>
        agent
          .placeWorkspace({ path: guestPath, metaPath, newMetaPath, force }, tar, { signal: end })
          .catch((error: unknown) => Promise.reject(withWayOn(error, place, "placed"))),
      progress,
    );
    if (!reply.placed) throw wouldLose(record, reply.work, params.path);
    crashPoint("workspace.placed");
    const workspace = recordOf(params.path, guestPath, newMetaPath, shipment, request);
    const pointers = await pointersOf(shipment, { signal });
    const staging = await publish(directory, record, workspace, shipment, { signal });
    crashPoint("workspace.published");
    // A VM that was put back since then does not have it.
    if (signal.aborted) await removeInside(record.dir, hostDirectory(record.dir, workspace));
    signal.throwIfAborted();
    vms.workspacePrepared(record.id, workspace);
    await retire(record);
    await followUp(vms, { record, agent, workspace }, shipment, staging, progress);
    const { workdir } = workspace;
    return {
      workspace: vms.show(record.id).workspace ?? workspace,
      guestPath,
      workdir,
      root: source.root,
      files: shipment.files.length,
      untracked: await leftOut(staging, request, { signal }),
      lfsPointers: pointers,
      sentBytes,
    };
  } finally {
    await removeInside(record.dir, directory);
  }
}

/** How many untracked files the guest does not get, and could. */
async function leftOut(staging: Staging, request: ShipmentRequest, options: { signal: AbortSignal }): Promise<number> {
  return request.includeUntracked || !couldCome(request) ? 0 : (await staging.untracked(options)).length;
}

async function pointersOf({ staging, files, filesRoot }: Shipment, options: { signal: AbortSignal }): Promise<number> {
  return files.length === 0 ? 0 : lfsPointers(filesRoot, await staging.entries(options));
}

/** Files that changed while they were read are sent again: what the guest got of them is what the host read halfway. */
async function followUp(
  vms: WorkspaceVms,
  where: { record: VmRecord; agent: GuestAgent; workspace: WorkspaceRecord },
  shipment: Shipment,
  staging: Staging,
  progress: Progress,
): Promise<void> {
  if (shipment.files.length === 0 || shipment.filesRoot !== shipment.source.root) return;
  if ((await staging.touched({ signal: progress.signal })).length === 0) return;
  await syncWorkspace(vms, where, { force: true, progress });
}

function recordOf(
  sourcePath: string,
  guestPath: string,
  newMetaPath: string,
  { source, branch, startCommit, baseTree }: Shipment,
  { mode, includeUntracked }: { mode: WorkspaceRecord["mode"]; includeUntracked: boolean },
): WorkspaceRecord {
  const now = Date.now();
  const copy = mode === "copy";
  return {
    guestPath,
    workdir: mode === "metadata-only" ? guestPath : guestJoin(guestPath, source.subdirectory),
    sourcePath,
    root: source.root,
    repoName: source.name,
    mode,
    includeUntracked,
    branch: copy ? null : branch,
    headCommit: source.headCommit,
    startCommit,
    baseTree,
    metaPath: copy ? newMetaPath : guestJoin(guestPath, metaBelowGit),
    preparedAt: now,
    syncedAt: now,
  };
}

/** Of what lies at the path now. A repository of ours carries it along, also when this daemon knows nothing of it. */
function knownMeta({ workspace }: VmRecord, guestPath: string): string {
  const known = workspace?.guestPath === guestPath ? workspace.metaPath : null;
  return known ?? guestJoin(guestPath, metaBelowGit);
}

function separateMeta(guestPath: string): string {
  const key = createHash("sha256").update(guestPath).digest("hex").slice(0, 16);
  return guestJoin("/var/lib/banger/workspaces", key);
}

/** The staging becomes what later syncs compare with. */
async function publish(
  directory: string,
  { dir }: VmRecord,
  workspace: WorkspaceRecord,
  shipment: Shipment,
  options: { signal: AbortSignal },
): Promise<Staging> {
  await Promise.all([
    rm(shipment.extraRoot, { recursive: true, force: true }),
    HostSide.begin(directory, shipment, options),
  ]);
  const target = hostDirectory(dir, workspace);
  await rename(directory, target);
  return Staging.at(target, shipment.source.root);
}

/** Removes what the record named before; a snapshot that is being taken of it sees that it goes. */
async function retire({ dir, workspace }: VmRecord): Promise<void> {
  if (workspace === null) return;
  const going = unfinishedDirectory(dir, randomBytes(4).toString("hex"));
  try {
    await rename(hostDirectory(dir, workspace), going);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await removeInside(dir, going);
}
