// The first VM of a shape, beside which its template is made, against the same boot with the template there already: until its first
// command has answered, and then a second of work in it.
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../../src/sdk/client.ts";
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createToExec, execIn, expectStart, timed } from "../vms.ts";

const shape = { memoryMib: 512 };
const work = ["perl", "-e", "my $i = 0; $i++ while $i < 2e6"];
const madeTimeoutMs = 60_000;

export const templateMaking: Row = {
  name: "template-making",
  about: "a boot beside which a template is made",
  async measure({ client, rounds }) {
    const start = async () => {
      const { totalMs, vm } = await createToExec(client, { ...shape, cold: await isMade(client) });
      const workMs = await timed(() => execIn(client, vm.id, work));
      expectStart(vm, "cold");
      await client.operate("vm.delete", { vm: vm.id });
      await untilMade(client);
      return { totalMs, workMs };
    };
    const { beside, alone } = await interleave(rounds, {
      beside: async () => {
        await client.call("template.prune", { all: true });
        return start();
      },
      alone: async () => {
        await client.operate("template.warm", shape);
        return start();
      },
    });
    const [besideMs, aloneMs] = [beside, alone].map((all) => summarise(all.map(({ totalMs }) => totalMs)));
    const [besideWorkMs, aloneWorkMs] = [beside, alone].map((all) => summarise(all.map(({ workMs }) => workMs)));
    if (!besideMs || !aloneMs || !besideWorkMs || !aloneWorkMs) throw new Error("nothing was measured");
    return [
      {
        name: "cold create to exec, template made beside it",
        value: besideMs.median / aloneMs.median,
        unit: "x",
        target: 1.1,
        sides: { "template is made": besideMs, "template is there": aloneMs },
      },
      {
        name: "the work that follows",
        value: besideWorkMs.median / aloneWorkMs.median,
        unit: "x",
        target: 1.1,
        sides: { "template is made": besideWorkMs, "template is there": aloneWorkMs },
      },
    ];
  },
};

async function isMade(client: Client): Promise<boolean> {
  const { templates } = await client.call("template.list", {});
  return templates.some(({ memoryMib }) => memoryMib === shape.memoryMib);
}

async function untilMade(client: Client): Promise<void> {
  const deadline = performance.now() + madeTimeoutMs;
  while (!(await isMade(client))) {
    if (performance.now() > deadline) throw new Error(`no template was made within ${madeTimeoutMs / 1000} s`);
    await delay(100);
  }
}
