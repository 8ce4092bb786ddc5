// Ten VMs at the same time against one alone.
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createToExec, expectStart, timed } from "../vms.ts";

const count = 10;
const shape = { memoryMib: 512 };

export const atOnce: Row = {
  name: "at-once",
  about: `${count} VMs at once`,
  async measure({ client, rounds }) {
    await client.operate("template.warm", shape);
    const start = async (vms: number) => {
      const made: string[] = [];
      const ms = await timed(() =>
        Promise.all(
          Array.from({ length: vms }, async () => {
            const { vm } = await createToExec(client, shape);
            made.push(vm.id);
            expectStart(vm, "template");
          }),
        ),
      );
      await Promise.all(made.map((vm) => client.operate("vm.delete", { vm })));
      return ms;
    };
    const { many, one } = await interleave(rounds, { many: () => start(count), one: () => start(1) });
    return [
      {
        name: `${count} VMs at once against one`,
        value: summarise(many).median / summarise(one).median,
        unit: "x",
        target: 6,
        sides: { [`${count} VMs, create to exec of the last`]: summarise(many), "one VM": summarise(one) },
      },
    ];
  },
};
