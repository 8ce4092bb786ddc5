// What changed on both sides since a workspace was prepared.
import { Writable } from "node:stream";
import type { ResultOf } from "../../api/methods.ts";
import type { VmRecord } from "../../api/records.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { deadline } from "../../lib/abort.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { showPath } from "../../workspace/quarantine/show-path.ts";
import { commitsBetween, openSource } from "../../workspace/source/source.ts";
import { openHostSide } from "./sync.ts";
import type { WorkspaceVms } from "./workspaces.ts";

type Status = ResultOf<"workspace.status">;
type Call = { signal: AbortSignal };

const maxListed = 200;
const guestTimeoutMs = 30_000;
const nothing = { count: 0, paths: [] };

export async function statusOfWorkspace(
  vms: WorkspaceVms,
  record: VmRecord,
  workspace: WorkspaceRecord,
  options: Call,
): Promise<Status> {
  const [host, guest] = await Promise.all([
    hostPart(record, workspace, options),
    guestPart(vms, record, workspace, options),
  ]);
  return { workspace, host, guest };
}

async function hostPart(record: VmRecord, workspace: WorkspaceRecord, options: Call): Promise<Status["host"]> {
  const empty = { branch: null, headCommit: null, ahead: null, behind: null, changed: nothing };
  try {
    const source = await openSource(workspace.root, options);
    const { branch, headCommit } = source;
    const { ahead, behind } = await commitsBetween(source, workspace.headCommit, headCommit, options);
    const known = { branch, headCommit, ahead, behind };
    try {
      const host = await openHostSide(record, workspace);
      const found = await host.look(workspace.baseTree ?? "", options);
      const changes = [...found.changes, ...found.again.filter(({ oldId, newId }) => oldId !== newId)];
      const changed = { count: changes.length, paths: changes.slice(0, maxListed).map(({ path }) => showPath(path)) };
      return { problem: "", ...known, changed };
    } catch (error) {
      options.signal.throwIfAborted();
      return { problem: toBangerError(error).message, ...known, changed: nothing };
    }
  } catch (error) {
    options.signal.throwIfAborted();
    return { problem: toBangerError(error).message, ...empty };
  }
}

async function guestPart(
  vms: WorkspaceVms,
  record: VmRecord,
  workspace: WorkspaceRecord,
  { signal }: Call,
): Promise<Status["guest"]> {
  const { guestPath: path, startCommit } = workspace;
  const empty = { git: false, branch: null, headCommit: null, commits: null, changed: nothing };
  using limit = deadline(signal, guestTimeoutMs, () => new BangerError("timeout", "the guest did not answer in 30 s"));
  try {
    const { agent } = await vms.agent(record.id);
    const found = await agent.lookAtWorkspace({ path, metaPath: workspace.metaPath ?? "" }, { signal: limit.signal });
    if (!found.exists) return { problem: `there is nothing at "${path}"`, ...empty };
    const commits = await commitsInGuest(agent, path, startCommit, limit.signal);
    return {
      problem: found.known ? "" : "the record of what was shipped is gone",
      git: commits !== undefined,
      branch: found.head.startsWith("refs/heads/") ? found.head.slice("refs/heads/".length) : null,
      headCommit: found.headCommit === "" ? null : found.headCommit,
      commits: commits ?? null,
      changed: { count: found.work.count, paths: found.work.paths.map(showPath) },
    };
  } catch (error) {
    signal.throwIfAborted();
    return { problem: toBangerError(error).message, ...empty };
  }
}

/** Asks the guest's git; undefined when there is none. null: it does not know. */
async function commitsInGuest(
  agent: GuestAgent,
  path: string,
  start: string | null,
  signal: AbortSignal,
): Promise<number | null | undefined> {
  const range = start === null ? ["HEAD"] : ["HEAD", `^${start}`];
  let said = "";
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      said = (said + chunk.toString("latin1")).slice(0, maxCountCharacters);
      callback();
    },
  });
  const stderr = new Writable({ write: (_chunk, _encoding, callback) => callback() });
  try {
    const argv = ["git", "-C", path, "rev-list", "--count", ...range, "--"];
    const handle = await agent.exec({ argv, stdout, stderr }, { signal });
    const { code } = await handle.exited;
    const count = /^\d+\n$/.test(said) ? Number(said) : null;
    return code === 0 ? count : null;
  } catch (error) {
    if (toBangerError(error).code === "exec.not-found") return undefined;
    throw error;
  }
}

const maxCountCharacters = 32;
