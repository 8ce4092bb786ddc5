// `vm run` of a fresh VM that comes from a template and is removed, whole process: against the floor under it (bare restore of the
// same template and the start of Node), and against the same run with a boot.
import { bareNode } from "../banger.ts";
import { restorableMachine, restoreBare, type RestoreLaps } from "../bare-restore.ts";
import type { Row } from "../measure.ts";
import { interleave, summarise, summariseNamed } from "../statistics.ts";
import { createVm, expectStart, firstExec } from "../vms.ts";

export const warmRun: Row = {
  name: "warm-run",
  about: "a run from a template, and the same with a boot",
  async measure({ banger, client, dir, rounds }) {
    const machine = await machineOf();
    const run = (...flags: string[]) => banger.time("vm", "run", ...flags, "--rm", "--", "true");
    const { warm, cold, bare, node } = await interleave(rounds, {
      warm: () => run(),
      bare: () => restoreBare(machine, dir),
      node: bareNode,
      cold: () => run("--cold"),
    });
    // A template that was dropped on the way would have made boots of the last runs.
    expectStart((await firstExec(client, {})).vm, "image");

    const ours = summarise(warm);
    const floor = summarise(bare.map(({ durationMs }) => durationMs));
    const sides = { "banger vm run --rm -- true": ours };
    return [
      {
        name: "warm run against bare restore and node",
        value: ours.median / (floor.median + summarise(node).median),
        unit: "x",
        target: 1.4,
        sides: {
          ...sides,
          "bare restore, Configure, power-off": floor,
          ...summariseNamed(bare.map(({ laps }) => lengths(laps))),
          "node -e 0": summarise(node),
        },
      },
      {
        name: "warm run against cold run",
        value: ours.median / summarise(cold).median,
        unit: "x",
        target: 0.3,
        sides: { ...sides, "banger vm run --cold --rm -- true": summarise(cold) },
      },
    ];

    async function machineOf() {
      await using vm = await createVm(client, {});
      expectStart(vm, "image");
      return restorableMachine(banger.paths.homeId, vm.id, dir);
    }
  },
};

function lengths(laps: RestoreLaps): [string, number][] {
  return laps.map(([name, atMs], index) => [`  bare: ${name}`, atMs - (laps[index - 1]?.[1] ?? 0)]);
}
