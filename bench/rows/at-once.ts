// Ten VMs at the same time against one alone, with one processor each, where one alone leaves a core of a host with two idle, and with
// two, where one alone uses both; and against ten bare machines at the same time, which tell what the host can do
// (notes/instant-vms.md, "Ten at once").
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { restorableMachine, restoreBareAtOnce } from "../bare-restore.ts";
import type { Bench, Measure, Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createToExec, createVm, expectStart, timed, warm } from "../vms.ts";

const count = 10;

export const atOnce: Row = {
  name: "at-once",
  about: `${count} VMs at once`,
  measure: async (bench) => [...(await against(bench, 1)), ...(await against(bench, 2))],
};

async function against(bench: Bench, vcpus: number): Promise<Measure[]> {
  const { client, rounds } = bench;
  const shape = { memoryMib: 512, vcpus };
  await warm(client, shape);
  const bare = await bareMachines(bench, shape);
  const start = async (vms: number) => {
    const made: string[] = [];
    const ms = await timed(() =>
      Promise.all(
        Array.from({ length: vms }, async () => {
          const { vm } = await createToExec(client, shape);
          made.push(vm.id);
          expectStart(vm, "image");
        }),
      ),
    );
    await Promise.all(made.map((vm) => client.operate("vm.delete", { vm })));
    return ms;
  };
  const measured = await interleave(rounds, {
    many: () => start(count),
    one: () => start(1),
    bareMany: () => restoreBareAtOnce(bare, ["/bin/true"]),
    bareOne: () => restoreBareAtOnce(bare.slice(0, 1), ["/bin/true"]),
  });
  const [many, one, bareMany, bareOne] = [
    summarise(measured.many),
    summarise(measured.one),
    summarise(measured.bareMany),
    summarise(measured.bareOne),
  ];
  const manySide = { [`${count} VMs, create to exec of the last`]: many };
  return [
    {
      name: `${count} VMs at once against one, vCPUs of each: ${vcpus}`,
      value: many.median / one.median,
      unit: "x",
      target: 6,
      sides: { ...manySide, "one VM": one },
    },
    {
      name: `${count} VMs at once against ${count} bare machines, vCPUs of each: ${vcpus}`,
      value: many.median / bareMany.median,
      unit: "x",
      target: 1.4,
      sides: {
        ...manySide,
        [`${count} bare machines, spawn to exec of the last`]: bareMany,
        "one bare machine": bareOne,
      },
    },
  ];
}

async function bareMachines({ banger, client, dir }: Bench, shape: { memoryMib: number; vcpus: number }) {
  await using vm = await createVm(client, shape);
  expectStart(vm, "image");
  return await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const own = join(dir, `${shape.vcpus}-${index}`);
      await mkdir(own, { mode: 0o700 });
      return { machine: restorableMachine(banger.paths.homeId, vm.id, own), dir: own };
    }),
  );
}
