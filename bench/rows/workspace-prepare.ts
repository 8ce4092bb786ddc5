// `vm workspace prepare` of a repository of 50,000 files into a running VM, against what people do by hand: a shallow clone beside it,
// packed with tar into `vm exec … tar -x`. Both sides take the same way into the guest.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/lib/run.ts";
import type { Banger } from "../banger.ts";
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createVm } from "../vms.ts";
import { fileCount, makeLargeRepository } from "../large-repository.ts";

/** One round of it takes about a minute. */
const maxRounds = 3;

export const workspacePrepare: Row = {
  name: "workspace-prepare",
  about: `a repository of ${fileCount} files into a running VM`,
  async measure({ banger, client, rounds, dir }) {
    const repository = makeLargeRepository(join(dir, "prepare"));
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
    const [prepare, byHand] = [summarise(values.prepare), summarise(values.byHand)];
    return [
      {
        name: "workspace prepare, 50,000 files",
        value: prepare.median / byHand.median,
        unit: "x",
        target: 1,
        sides: { "banger vm workspace prepare": prepare, "git clone --depth 10, tar through vm exec": byHand },
      },
    ];
  },
};

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
