// What a daemon is killed in the middle of with workspaces: a repository on its way in, and what a guest changed on its way out.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "../../src/sdk/client.ts";
import type { CrashHome } from "./crash-home.ts";
import type { CrashScenario } from "./crash-scenarios.ts";

const names = ["changed-1", "changed-2", "changed-3", "deleted", "added/below"];
const guestWork =
  "cd /root/repo && for f in changed-1 changed-2 changed-3; do echo guest >$f; done; rm deleted; mkdir added; echo guest >added/below";
const before = ["host", "host", "host", "host", undefined];
const shot = "with-a-workspace";
const after = ["guest", "guest", "guest", undefined, "guest"];

/** `directory`: where the repository is made. */
export function workspaceScenarios(directory: string): CrashScenario[] {
  const repository = join(directory, "repository");
  mkdirSync(repository);
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", repository, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { stdio: "pipe" });
  git("init", "-q");
  for (const name of names.slice(0, 4)) writeFileSync(join(repository, name), "host\n");
  git("add", "-A");
  git("commit", "-qm", "first");
  const files = () =>
    names.map((name) => {
      const file = join(repository, name);
      return existsSync(file) ? readFileSync(file, "utf8").trim() : undefined;
    });
  const prepare = (client: Client) => client.operate("workspace.prepare", { vm: "box", path: repository, force: true });
  return [
    {
      name: "prepare a workspace",
      points: ["workspace.placed", "workspace.published"],
      prepare: (home) => home.ensure("box", "running"),
      verb: prepare,
    },
    {
      name: "snapshot and restore of a VM with a workspace",
      points: ["snapshot.workspace-kept", "restore.workspace-linked"],
      prepare: async (home) => {
        await home.ensure("box", "running");
        const { snapshots } = await home.client.call("snapshot.list", {});
        if (snapshots.some(({ name }) => name === shot)) await home.client.call("snapshot.delete", { snapshot: shot });
        await prepare(home.client);
      },
      verb: async (client) => {
        await client.operate("snapshot.create", { vm: "box", name: shot });
        await prepare(client);
        await client.operate("vm.restore", { vm: "box", snapshot: shot });
        assert.deepEqual((await client.call("workspace.sync", { vm: "box" })).conflicts, { count: 0, paths: [] });
        await client.call("snapshot.delete", { snapshot: shot });
      },
    },
    {
      name: "apply what a guest changed",
      points: ["journal", "replacing#2", "replaced", "done"].map((point) => `workspace.apply.${point}`),
      prepare: async (home: CrashHome) => {
        await home.ensure("box", "running");
        const now = files();
        assert.ok(
          [before, after].some((whole) => JSON.stringify(whole) === JSON.stringify(now)),
          `half applied: ${now.join(", ")}`,
        );
        const left = readdirSync(join(repository, ".git")).filter((name) => name.startsWith("banger"));
        assert.deepEqual(left, [], "of an apply that was cut short");
        git("reset", "-q", "--hard");
        git("clean", "-qfd");
        await prepare(home.client);
        await home.output("box", "sh", "-c", guestWork);
      },
      verb: async (client) => {
        const { id } = await client.operate("workspace.export", { vm: "box" });
        await client.operate("workspace.apply", { export: id });
        assert.deepEqual(files(), after);
      },
    },
  ];
}
