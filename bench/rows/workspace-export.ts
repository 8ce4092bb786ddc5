// `vm workspace export` of a repository of 2,000 files with 100 of them changed, to a patch in a file. Beside it what git takes for a
// patch in the guest by itself, without commits, without untracked files and without a check of anything: `git diff` through `vm exec`.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createVm } from "../vms.ts";

const directories = 50;
const filesInEach = 40;
const changed = 100;

export const workspaceExport: Row = {
  name: "workspace-export",
  about: `a patch of ${changed} changed files out of a VM`,
  async measure({ banger, client, rounds, dir }) {
    const repository = join(dir, "export");
    for (let directory = 0; directory < directories; directory++) {
      mkdirSync(join(repository, `d${directory}`), { recursive: true });
      for (let file = 0; file < filesInEach; file++) {
        const lines = Array.from(
          { length: 50 },
          (_, line) => `line ${line} of file ${file} in directory ${directory}\n`,
        );
        writeFileSync(join(repository, `d${directory}`, `f${file}`), lines.join(""));
      }
    }
    const git = (...args: string[]) =>
      execFileSync("git", ["-C", repository, "-c", "user.name=b", "-c", "user.email=b@b", ...args], { stdio: "pipe" });
    git("init", "-q");
    git("add", "-A");
    git("commit", "-qm", "first");
    await using vm = await createVm(client, {});
    await client.operate("workspace.prepare", { vm: vm.id, path: repository });
    const script = `n=0; while [ $n -lt ${changed} ]; do echo changed >> d$((n % ${directories}))/f$((n / ${directories})); n=$((n+1)); done`;
    await banger.time("vm", "exec", vm.name, "--", "sh", "-c", script);
    const values = await interleave(rounds, {
      export: () => banger.time("vm", "workspace", "export", vm.name, "--output", join(dir, "export.patch")),
      diff: () => banger.time("vm", "exec", vm.name, "--", "git", "diff", "--binary", "HEAD"),
    });
    const wall = summarise(values.export);
    const diff = summarise(values.diff);
    const sides = { "banger vm workspace export": wall, "git diff in the guest": diff };
    return [
      { name: `workspace export, ${changed} changed files`, value: wall.median, unit: "ms", target: 1000, sides },
    ];
  },
};
