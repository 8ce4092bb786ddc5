// A repository on "the host" and a copy of it in "the guest": two directories, real git on both sides, no VM.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import { openHostRepository } from "../apply/host-repository.ts";
import type { RunInGuest } from "../export/collect.ts";
import { fetchGuestState } from "../export/guest-state.ts";
import { Quarantine } from "../quarantine/quarantine.ts";

const identity = {
  GIT_AUTHOR_NAME: "t",
  GIT_AUTHOR_EMAIL: "t@t",
  GIT_COMMITTER_NAME: "t",
  GIT_COMMITTER_EMAIL: "t@t",
};

export const signal = new AbortController().signal;

export class TwoSides implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "banger-sides-"));
  readonly host = join(this.directory, "host");
  readonly guest = join(this.directory, "guest");
  baseTree = "";

  constructor(fill: (host: string) => void) {
    mkdirSync(this.host);
    this.gitOf(this.host, "init", "-q", "-b", "main");
    fill(this.host);
    this.gitOf(this.host, "add", "-A");
    this.gitOf(this.host, "commit", "-qm", "first", "--allow-empty");
  }

  gitOf(directory: string, ...args: string[]): string {
    return execFileSync("git", ["-C", directory, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...identity },
      maxBuffer: 1 << 28,
    }).trim();
  }

  /** What prepare does: history, the work tree as it is, and what was shipped under a ref. */
  ship(): void {
    this.gitOf(this.directory, "clone", "-q", "--no-local", this.host, this.guest);
    execFileSync("sh", [
      "-c",
      'cd "$2" && git rm -rqf --cached . && find . -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} + && tar -C "$1" --exclude ./.git -c . | tar -x && git add -A',
      "sh",
      this.host,
      this.guest,
    ]);
    this.baseTree = this.gitOf(this.guest, "write-tree");
    this.gitOf(this.guest, "update-ref", "refs/banger/base", this.baseTree);
    this.gitOf(this.guest, "reset", "-q");
  }

  get workspace(): WorkspaceRecord {
    const head = this.gitOf(this.host, "rev-parse", "main");
    return {
      guestPath: this.guest,
      workdir: this.guest,
      sourcePath: this.host,
      root: this.host,
      repoName: "host",
      mode: "shallow",
      includeUntracked: false,
      branch: "main",
      headCommit: head,
      startCommit: head,
      baseTree: this.baseTree,
      metaPath: join(this.guest, ".git/banger"),
      preparedAt: 0,
      syncedAt: 0,
    };
  }

  /** Runs commands in "the guest". */
  readonly run: RunInGuest = async ({ argv, stdout, stderr }, options) => {
    const [file = "", ...args] = argv;
    const child = spawn(file, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
    // As the agent does it: the whole group goes, and nobody waits for what it had to say.
    const onAbort = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended.
      }
      child.stdout.destroy();
    };
    options.signal.addEventListener("abort", onAbort, { once: true });
    child.stdout.pipe(stdout, { end: false });
    child.stderr.pipe(stderr, { end: false });
    const [code] = (await once(child, "close")) as [number];
    options.signal.removeEventListener("abort", onAbort);
    options.signal.throwIfAborted();
    return code;
  };

  quarantine(maxBytes = 64 * 1024 * 1024): Promise<Quarantine> {
    const objects = [join(this.host, ".git/objects")];
    return Quarantine.open({
      directory: join(this.directory, "q"),
      objects,
      format: "sha1",
      maxBytes,
      timeoutMs: 60_000,
    });
  }

  async fetch(
    quarantine: Quarantine,
    change: { base?: string; run?: RunInGuest; workspace?: Partial<WorkspaceRecord> } = {},
  ) {
    return fetchGuestState(
      change.run ?? this.run,
      {
        vm: "box",
        workspace: { ...this.workspace, ...change.workspace },
        base: change.base,
        maxBytes: 64 * 1024 * 1024,
      },
      quarantine,
      { signal },
    );
  }

  repository() {
    return openHostRepository(this.host, signal);
  }

  write(side: "host" | "guest", name: string, content: string | Buffer): void {
    const file = join(this[side], name);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, content);
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
