// `vm workspace prepare` of a repository of 50,000 files into a running VM, against what people do by hand: a shallow clone beside it,
// packed with tar into `vm exec … tar -x`. Both sides take the same way into the guest. And the `sync` of one changed file of it.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/lib/run.ts";
import type { Banger } from "../banger.ts";
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createVm } from "../vms.ts";

const directories = 1000;
const filesInEach = 50;
const commits = 15;
/** One round of it takes about a minute. */
const maxRounds = 3;

export const workspacePrepare: Row = {
  name: "workspace-prepare",
  about: `a repository of ${directories * filesInEach} files into a running VM, and one changed file`,
  async measure({ banger, client, rounds, dir }) {
    const repository = makeRepository(join(dir, "prepare"));
    const gib = 2 ** 30;
    await using vm = await createVm(client, { vcpus: 2, memoryMib: 1024, diskBytes: 4 * gib });
    const clone = join(dir, "clone");
    const emptied = (path: string) => banger.time("vm", "exec", "--workdir", "/", vm.name, "--", "rm", "-rf", path);
    const values = await interleave(Math.min(rounds, maxRounds), {
      prepare: async () => {
        await emptied("/root/repo");
        return await banger.time("vm", "workspace", "prepare", vm.name, repository);
      },
      byHand: async () => {
        await emptied("/root/clone");
        rmSync(clone, { recursive: true, force: true });
        const started = performance.now();
        await run({ file: "git", args: ["clone", "--quiet", "--depth", "10", `file://${repository}`, clone] });
        await pipeTar(banger, vm.name, clone);
        return performance.now() - started;
      },
    });
    await banger.time("vm", "workspace", "prepare", vm.name, repository);
    let saved = 0;
    const synced = await interleave(rounds, {
      sync: () => {
        writeFileSync(join(repository, "d7/s7/f7"), `saved ${(saved += 1)}\n`);
        return banger.time("vm", "workspace", "sync", vm.name);
      },
      version: () => banger.time("version"),
    });
    const [prepare, byHand, sync] = [summarise(values.prepare), summarise(values.byHand), summarise(synced.sync)];
    return [
      {
        name: "workspace prepare, 50,000 files",
        value: prepare.median / byHand.median,
        unit: "x",
        target: 1,
        sides: { "banger vm workspace prepare": prepare, "git clone --depth 10, tar through vm exec": byHand },
      },
      {
        name: "workspace sync, one file of 50,000",
        value: sync.median,
        unit: "ms",
        target: 300,
        sides: { "banger vm workspace sync": sync, "banger version": summarise(synced.version) },
      },
    ];
  },
};

function makeRepository(path: string): string {
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", path, "-c", "user.name=b", "-c", "user.email=b@b", "-c", "gc.auto=0", ...args], {
      stdio: "pipe",
    });
  for (let at = 0; at < directories; at++) {
    const directory = join(path, `d${at % 25}/s${at}`);
    mkdirSync(directory, { recursive: true });
    for (let file = 0; file < filesInEach; file++) {
      const lines = Array.from({ length: 5 + ((at * file) % 60) }, (_, line) => `line ${line} of ${file} in ${at}\n`);
      writeFileSync(join(directory, `f${file}`), lines.join(""));
    }
  }
  git("init", "-q");
  git("add", "-A");
  git("commit", "-qm", "all");
  for (let at = 0; at < commits; at++) {
    writeFileSync(join(path, "d0/s0/f0"), `commit ${at}\n`);
    git("commit", "-qam", `commit ${at}`);
  }
  git("repack", "-adq");
  return path;
}

/** tar here, tar there. */
async function pipeTar(banger: Banger, vm: string, from: string): Promise<void> {
  const script = "mkdir /root/clone && tar -C /root/clone -x";
  const { file, args, env } = banger.command("vm", "exec", "--workdir", "/", "-i", vm, "--", "sh", "-c", script);
  const receiving = spawn(file, args, { env: { ...process.env, ...env }, stdio: ["pipe", "inherit", "inherit"] });
  const ended = once(receiving, "close");
  await run({ file: "tar", args: ["-C", from, "-c", "."], output: receiving.stdin, timeoutMs: 3_600_000 });
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new Error(`the guest's tar ended with ${code}`);
}
