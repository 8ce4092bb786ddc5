// `vm workspace sync` of one changed file of a repository of 50,000 files, beside the CLI that asks nobody.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileCount, makeLargeRepository } from "../large-repository.ts";
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createVm } from "../vms.ts";

export const workspaceSync: Row = {
  name: "workspace-sync",
  about: `one changed file of a repository of ${fileCount} files`,
  async measure({ banger, client, rounds, dir }) {
    const repository = makeLargeRepository(join(dir, "sync"));
    await using vm = await createVm(client, { vcpus: 2, memoryMib: 1024, diskBytes: 4 * 2 ** 30 });
    await banger.time("vm", "workspace", "prepare", vm.name, repository);
    let saved = 0;
    const values = await interleave(rounds, {
      sync: () => {
        writeFileSync(join(repository, "d7/s7/f7"), `saved ${(saved += 1)}\n`);
        return banger.time("vm", "workspace", "sync", vm.name);
      },
      version: () => banger.time("version"),
    });
    const sync = summarise(values.sync);
    return [
      {
        name: "workspace sync, one file of 50,000",
        value: sync.median,
        unit: "ms",
        target: 300,
        sides: { "banger vm workspace sync": sync, "banger version": summarise(values.version) },
      },
    ];
  },
};
