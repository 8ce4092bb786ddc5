// From a request for a VM to the exit status of its first command, seen by a program that runs already: where each part of it goes.
import type { Row } from "../measure.ts";
import { interleave, summarise, summariseNamed } from "../statistics.ts";
import { expectStart, firstExec, type FirstExec } from "../vms.ts";

export const firstExecRow: Row = {
  name: "first-exec",
  about: "create to first exec",
  async measure({ client, rounds }) {
    const { warm } = await interleave(rounds, {
      warm: async () => {
        const first = await firstExec(client, {});
        expectStart(first.vm, "template");
        return first;
      },
    });
    const total = summarise(warm.map(({ totalMs }) => totalMs));
    return [
      {
        name: "create to first exec answered, warm",
        value: total.median,
        unit: "ms",
        target: 600,
        sides: { "vm.create to exit status": total, ...summariseNamed(warm.map(parts)) },
      },
    ];
  },
};

function parts({ createMs, execMs, vm }: FirstExec): [string, number][] {
  const { phases = [], totalMs = 0 } = vm.lastStart ?? {};
  return [
    ...phases.map(({ name, ms }): [string, number] => [`  ${name}`, ms]),
    ["  request, record and answer", createMs - totalMs],
    ["  exec", execMs],
  ];
}
