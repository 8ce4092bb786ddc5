// Puts what changed on the host into a VM's workspace, file by file.
import { stat } from "node:fs/promises";
import type { ResultOf } from "../../api/methods.ts";
import type { VmRecord } from "../../api/records.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { showPath } from "../../workspace/quarantine/show-path.ts";
import { ship } from "../../workspace/ship.ts";
import type { FileChange } from "../../workspace/source/git-words.ts";
import { headOf } from "../../workspace/source/source.ts";
import { HostSide, type HostChanges } from "../../workspace/sync.ts";
import { hostDirectory } from "./host-directory.ts";
import type { WorkspaceVms } from "./workspaces.ts";

const maxListed = 200;
/** The guest may change files while we ask: then it is asked again, without those. */
const maxTries = 5;

export interface SyncTarget {
  record: VmRecord;
  agent: GuestAgent;
  workspace: WorkspaceRecord;
}

/** The host's side of a workspace that can be synced. Throws `workspace.none` for one that cannot. */
export async function openHostSide(record: VmRecord, workspace: WorkspaceRecord): Promise<HostSide> {
  const again = `banger vm workspace prepare ${record.name} ${workspace.sourcePath}`;
  const refuse = (why: string) =>
    new BangerError("workspace.none", `the workspace of VM "${record.name}" ${why}`, { hint: again });
  if (workspace.baseTree === null || workspace.metaPath === null) throw refuse("was put there by an older version");
  if (workspace.mode === "metadata-only") throw refuse("has no files of the host (mode metadata-only)");
  if (workspace.startCommit !== workspace.headCommit)
    throw refuse("has the files of another commit than the host (--from)");
  const directory = hostDirectory(record.dir, workspace);
  if (!(await isDirectory(directory))) throw refuse("cannot be compared any more: what was shipped is not known here");
  await requireRoot(record, workspace);
  return new HostSide(directory, workspace.root, { includeUntracked: workspace.includeUntracked });
}

/**
 * Throws `workspace.none`, or what the guest says. A file that changes while it is sent is sent again, and by the next call when it goes on
 * changing.
 */
export async function syncWorkspace(
  vms: Pick<WorkspaceVms, "workspacePrepared">,
  { record, agent, workspace }: SyncTarget,
  { force, progress }: { force: boolean; progress: Progress },
): Promise<ResultOf<"workspace.sync">> {
  const { signal } = progress;
  const host = await openHostSide(record, workspace);
  // Asked meanwhile.
  const head = headOf(workspace.root, { signal });
  head.catch(() => {});
  const written = new Set<string>();
  const removed = new Set<string>();
  let baseTree = workspace.baseTree ?? "";
  let sentBytes = 0;
  for (let round = 1; ; round++) {
    const target = { record, agent, workspace: { ...workspace, baseTree } };
    const found = await host.look(baseTree, { signal });
    const brought = await bring(host, found, target, force, progress).catch((error: unknown) => {
      // A file that went before it could be read ends the archive; nothing of it is used then.
      if (round === maxTries || host.changedSince([...found.changes, ...found.again]).length === 0) throw error;
      return undefined;
    });
    if (brought === undefined) continue;
    const { conflicts, tree, changes, again } = brought;
    const unsure = host.changedSince([...changes, ...again]);
    await host.keep(unsure);
    signal.throwIfAborted();
    if (tree !== baseTree) {
      vms.workspacePrepared(record.id, { ...workspace, baseTree: tree, syncedAt: Date.now() });
    }
    baseTree = tree;
    sentBytes += brought.sentBytes;
    const moved = [...changes, ...again.filter(({ oldId, newId }) => oldId !== newId)];
    for (const { path, newMode } of moved) (newMode === 0 ? removed : written).add(path.toString("latin1"));
    if (unsure.length > 0 && round < maxTries) continue;
    return {
      written: written.size,
      removed: removed.size,
      sentBytes,
      conflicts: { count: conflicts.length, paths: conflicts.slice(0, maxListed).map(({ path }) => showPath(path)) },
      headMoved: (await head) !== workspace.headCommit,
    };
  }
}

/** All but what the guest has changed, too. Nothing is changed on either side when it fails. */
async function bring(
  host: HostSide,
  found: HostChanges,
  target: SyncTarget,
  force: boolean,
  progress: Progress,
): Promise<HostChanges & { conflicts: FileChange[]; sentBytes: number }> {
  const { signal } = progress;
  const conflicts: FileChange[] = [];
  let wanted = found;
  let sentBytes = 0;
  for (let tries = 1; wanted.changes.length > 0; tries++) {
    const sent = await send(host, wanted, target, force, progress);
    sentBytes += sent.sentBytes;
    if (sent.applied) break;
    if (tries === maxTries || sent.conflicts.length === 0) {
      throw new BangerError(
        "workspace.failed",
        `the files of VM "${target.record.name}" change faster than they can be synced`,
        { hint: `banger vm workspace sync ${target.record.name}` },
      );
    }
    conflicts.push(...sent.conflicts);
    wanted = await host.without(sent.conflicts, target.workspace.baseTree ?? "", { signal });
  }
  if (wanted.again.length > 0) {
    sentBytes += (await send(host, { ...wanted, changes: wanted.again }, target, true, progress)).sentBytes;
  }
  return { ...wanted, conflicts, sentBytes };
}

async function send(
  host: HostSide,
  wanted: Omit<HostChanges, "again">,
  { agent, workspace }: SyncTarget,
  force: boolean,
  progress: Progress,
): Promise<{ applied: boolean; conflicts: FileChange[]; sentBytes: number }> {
  const { signal } = progress;
  const withGit = workspace.mode !== "copy";
  const out = withGit ? await host.forGuest(wanted, { signal }) : undefined;
  const { changes } = wanted;
  const { reply, sentBytes } = await ship(
    {
      scratch: host.scratch,
      filesRoot: workspace.root,
      files: changes.filter(({ newMode }) => newMode !== 0).map(({ path }) => path),
      extra: out === undefined ? null : { root: out, name: ".git" },
    },
    (tar, end) =>
      agent.updateWorkspace({ path: workspace.guestPath, metaPath: workspace.metaPath ?? "", force, changes }, tar, {
        signal: end,
      }),
    progress,
  );
  return { applied: reply.applied, conflicts: reply.conflicts.flatMap((at) => changes[at] ?? []), sentBytes };
}

/** Throws `workspace.not-a-repository` when the repository was moved away or deleted. */
export async function requireRoot({ name }: VmRecord, { root, guestPath }: WorkspaceRecord): Promise<void> {
  if (await isDirectory(root)) return;
  throw new BangerError(
    "workspace.not-a-repository",
    `the repository "${root}", which was shipped, is not there any more`,
    {
      hint: rootGoneHint(name, guestPath),
    },
  );
}

/** What can be done when the host's repository is gone. */
function rootGoneHint(vm: string, guestPath: string): string {
  return `banger vm workspace prepare ${vm} <path>  # its new place; or take what the VM has: banger vm cp ${vm}:${guestPath} .`;
}

/** Whether there is a directory at a path of the host. */
export async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}
