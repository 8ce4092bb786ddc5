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

/** Throws `workspace.none`, or what the guest says. Nothing is changed on either side when it fails. */
export async function syncWorkspace(
  vms: Pick<WorkspaceVms, "workspacePrepared">,
  { record, agent, workspace }: SyncTarget,
  { force, progress }: { force: boolean; progress: Progress },
): Promise<ResultOf<"workspace.sync">> {
  const { signal } = progress;
  const host = await openHostSide(record, workspace);
  const baseTree = workspace.baseTree ?? "";
  const [head, found] = await Promise.all([headOf(workspace.root, { signal }), host.look(baseTree, { signal })]);
  const conflicts: FileChange[] = [];
  let wanted = found;
  let sentBytes = 0;
  for (let tries = 1; wanted.changes.length > 0; tries++) {
    const sent = await send(host, wanted, { record, agent, workspace }, force, progress);
    sentBytes += sent.sentBytes;
    if (sent.applied) break;
    if (tries === maxTries || sent.conflicts.length === 0) {
      throw new BangerError(
        "workspace.failed",
        `the files of VM "${record.name}" change faster than they can be synced`,
      );
    }
    conflicts.push(...sent.conflicts);
    wanted = await host.without(sent.conflicts, baseTree, { signal });
  }
  await host.keep();
  if (wanted.tree !== baseTree) {
    vms.workspacePrepared(record.id, { ...workspace, baseTree: wanted.tree, syncedAt: Date.now() });
  }
  return {
    written: wanted.changes.filter(({ newMode }) => newMode !== 0).length,
    removed: wanted.changes.filter(({ newMode }) => newMode === 0).length,
    sentBytes,
    conflicts: { count: conflicts.length, paths: conflicts.slice(0, maxListed).map(({ path }) => showPath(path)) },
    headMoved: head !== workspace.headCommit,
  };
}

async function send(
  host: HostSide,
  wanted: HostChanges,
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
