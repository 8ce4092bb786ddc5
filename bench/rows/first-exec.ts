// From a request for a VM to the exit status of its first command, seen by a program that runs already: where each part of it goes. For a
// new VM, and for one that is started again: its disks have content of their own, so it comes from the template of its shape.
import { type Measure, type Row } from "../measure.ts";
import { interleave, summarise, summariseNamed } from "../statistics.ts";
import { createVm, execIn, expectStart, firstExec, type FirstExec } from "../vms.ts";

export const firstExecRow: Row = {
  name: "first-exec",
  about: "create to first exec",
  async measure({ client, rounds }) {
    await using stopped = await createVm(client, {});
    const { fresh, again } = await interleave(rounds, {
      fresh: async () => {
        const first = await firstExec(client, {});
        expectStart(first.vm, "image");
        return first;
      },
      again: async () => {
        await client.operate("vm.stop", { vm: stopped.id });
        const started = performance.now();
        const vm = await client.operate("vm.start", { vm: stopped.id });
        const createMs = performance.now() - started;
        await execIn(client, vm.id, ["true"]);
        const totalMs = performance.now() - started;
        expectStart(vm, "template");
        return { totalMs, createMs, execMs: totalMs - createMs, vm };
      },
    });
    return [
      measureOf("create to first exec answered, warm", "vm.create to exit status", fresh),
      measureOf("same, of a VM that is started again", "vm.start to exit status", again),
    ];
  },
};

function measureOf(name: string, side: string, all: readonly FirstExec[]): Measure {
  const total = summarise(all.map(({ totalMs }) => totalMs));
  return {
    name,
    value: total.median,
    unit: "ms",
    target: 600,
    sides: { [side]: total, ...summariseNamed(all.map(parts)) },
  };
}

function parts({ createMs, execMs, vm }: FirstExec): [string, number][] {
  const { phases = [], totalMs = 0 } = vm.lastStart ?? {};
  return [
    ...phases.map(({ name, ms }): [string, number] => [`  ${name}`, ms]),
    ["  request, record and answer", createMs - totalMs],
    ["  exec", execMs],
  ];
}
