// Ten VMs at the same time against one alone: with one processor each, where one alone leaves a core of a host with two idle, and with
// two, where one alone uses both (notes/instant-vms.md, "Ten at once").
import type { Bench, Measure, Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createToExec, expectStart, timed, warm } from "../vms.ts";

const count = 10;

export const atOnce: Row = {
  name: "at-once",
  about: `${count} VMs at once`,
  measure: async (bench) => [await against(bench, 1), await against(bench, 2)],
};

async function against({ client, rounds }: Bench, vcpus: number): Promise<Measure> {
  const shape = { memoryMib: 512, vcpus };
  await warm(client, shape);
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
  const { many, one } = await interleave(rounds, { many: () => start(count), one: () => start(1) });
  return {
    name: `${count} VMs at once against one, vCPUs of each: ${vcpus}`,
    value: summarise(many).median / summarise(one).median,
    unit: "x",
    target: 6,
    sides: { [`${count} VMs, create to exec of the last`]: summarise(many), "one VM": summarise(one) },
  };
}
