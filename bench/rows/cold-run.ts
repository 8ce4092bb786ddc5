// A cold `vm run` of a fresh VM that is removed, against the bare boot of such a machine.
import { bareMachine, bootBare } from "../bare-boot.ts";
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createVm, expectStart } from "../vms.ts";

export const coldRun: Row = {
  name: "cold-run",
  about: "a run that boots",
  async measure({ banger, client, dir, rounds }) {
    const machine = await machineOf();
    const { ours, bare } = await interleave(rounds, {
      ours: () => banger.time("vm", "run", "--cold", "--rm", "--", "true"),
      bare: () => bootBare(machine, dir),
    });
    return [
      {
        name: "cold run against bare boot",
        value: summarise(ours).median / summarise(bare).median,
        unit: "x",
        target: 1.35,
        sides: {
          "banger vm run --cold --rm -- true": summarise(ours),
          "bare QEMU boot to power-off": summarise(bare),
        },
      },
    ];

    async function machineOf() {
      await using vm = await createVm(client, { cold: true });
      expectStart(vm, "cold");
      return bareMachine(banger.paths.homeId, vm.id, dir);
    }
  },
};
