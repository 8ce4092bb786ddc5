// What each further idle VM of one template takes of the host's memory, and where it goes.
import { setTimeout as delay } from "node:timers/promises";
import { memoryFileOf } from "../machine-copy.ts";
import type { Measure, Row } from "../measure.ts";
import { runningQemu } from "../running-qemu.ts";
import { memoryOf, memoryParts } from "../smaps.ts";
import { summarise, summariseNamed } from "../statistics.ts";
import { createVm, execIn, expectStart, warm } from "../vms.ts";

const shape = { memoryMib: 256 };
/** Beginners of a guest end, and its kernel writes back. */
const settleMs = 5000;

export const hostMemory: Row = {
  name: "host-memory",
  about: "memory of idle VMs",
  async measure({ banger, client, full }) {
    const count = full ? 20 : 6;
    await warm(client, shape);
    await using made = new AsyncDisposableStack();
    const vms: { id: string; pid: number; memoryFile: string }[] = [];
    for (let index = 0; index < count; index += 1) {
      const vm = made.use(await createVm(client, shape));
      expectStart(vm, "image");
      const memoryFile = memoryFileOf(runningQemu(banger.paths.homeId, vm.id).args) ?? "";
      vms.push({ id: vm.id, pid: vm.pid ?? NaN, memoryFile });
    }
    const further = async (name: string) => {
      await delay(settleMs);
      return memoryMeasure(
        name,
        vms.slice(1).map(({ pid, memoryFile }) => memoryOf(pid, memoryFile)),
      );
    };
    const idle = await further(`idle 256 MiB VM, largest of the 2nd to ${count}th, PSS`);
    for (const { id } of vms) await execIn(client, id, ["true"]);
    return [idle, await further("same, after a first command in each")];
  },
};

function memoryMeasure(name: string, memories: readonly ReturnType<typeof memoryOf>[]): Measure {
  const all = memories.map((one) => one.pssMib);
  return {
    name,
    value: Math.max(...all),
    unit: "MiB",
    target: 60,
    sides: {
      "PSS of a VM": summarise(all),
      ...summariseNamed(memories.map(({ table }) => memoryParts.map((part) => [`  ${part}`, table[part]] as const))),
    },
  };
}
