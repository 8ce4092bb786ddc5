// Repositories in VMs: looks at one on the host, ships it into a running VM, records where it lies.
import { join } from "node:path/posix";
import { readWorkspacePolicy, workspaceFileName } from "../config/workspace-file.ts";
import type { Progress } from "../lib/progress.ts";
import { resolvePolicy } from "../network/policy.ts";
import { inspectRepository } from "../workspace/repository.ts";
import { shipRepository } from "../workspace/ship.ts";
import type { Vms } from "./vms.ts";

const defaultGuestPath = "/root/repo";

export interface PrepareRequest {
  vm: string;
  /** Absolute host path in a repository. */
  path: string;
  /** Default /root/repo. */
  guestPath?: string | undefined;
}

export class Workspaces {
  readonly #vms: Vms;

  constructor(vms: Vms) {
    this.#vms = vms;
  }

  /** What would be shipped. Throws `workspace.not-a-repository`. */
  async inspect(path: string, options: { signal: AbortSignal }) {
    const { root, name, subdirectory, files, untracked } = await inspectRepository(path, options);
    return { root, name, subdirectory, files: files.length, untracked };
  }

  /** What the banger.toml in a directory says of the network; null: nothing. Throws `config.invalid`, `network.policy-invalid`. */
  async policy(root: string) {
    const table = await readWorkspacePolicy(root);
    if (table === undefined) return null;
    // Checked as if it had been asked for: what is shown is what would hold.
    const { mode, ...rules } = table;
    return resolvePolicy({ use: mode, name: workspaceFileName, ...rules }, { fallback: "none", policies: new Map() });
  }

  /** Ships the tracked files of the whole repository, also when a subdirectory was named: commands then run in that one. */
  async prepare(request: PrepareRequest, progress: Progress) {
    const { record, agent } = await this.#vms.agent(request.vm);
    const repository = await inspectRepository(request.path, { signal: progress.signal });
    const guestPath = request.guestPath ?? defaultGuestPath;
    await shipRepository(
      repository,
      guestPath,
      (directory, tar, signal) => agent.writeTar(directory, tar, { signal }),
      progress,
    );
    const workdir = join(guestPath, repository.subdirectory);
    this.#vms.workspacePrepared(record.id, { guestPath: workdir, sourcePath: request.path, preparedAt: Date.now() });
    return {
      guestPath,
      workdir,
      root: repository.root,
      files: repository.files.length,
      untracked: repository.untracked,
    };
  }
}
