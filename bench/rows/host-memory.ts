// What each further idle VM of one template takes of the host's memory, and where it goes.
import { setTimeout as delay } from "node:timers/promises";
import { memoryFileOf } from "../machine-copy.ts";
import type { Row } from "../measure.ts";
import { runningQemu } from "../running-qemu.ts";
import { memoryOf, memoryParts } from "../smaps.ts";
import { summarise, summariseNamed } from "../statistics.ts";
import { createToExec, expectStart, removedAtEnd } from "../vms.ts";

const shape = { memoryMib: 256 };
/** Beginners of a guest end, and its kernel writes back. */
const settleMs = 5000;

export const hostMemory: Row = {
  name: "host-memory",
  about: "memory of idle VMs",
  async measure({ banger, client, full }) {
    const count = full ? 20 : 6;
    await client.operate("template.warm", shape);
    await using made = new AsyncDisposableStack();
    const pids: number[] = [];
    let memoryFile = "";
    for (let index = 0; index < count; index += 1) {
      const { vm } = await createToExec(client, shape);
      made.use(removedAtEnd(client, vm));
      expectStart(vm, "template");
      memoryFile = memoryFileOf(runningQemu(banger.paths.homeId, vm.id).args) ?? "";
      pids.push(vm.pid ?? NaN);
    }
    await delay(settleMs);
    const further = pids.slice(1).map((pid) => memoryOf(pid, memoryFile));
    const all = further.map((one) => one.pssMib);
    return [
      {
        name: `idle 256 MiB VM, largest of the 2nd to ${count}th, PSS`,
        value: Math.max(...all),
        unit: "MiB",
        target: 60,
        sides: {
          "PSS of a VM": summarise(all),
          ...summariseNamed(further.map(({ table }) => memoryParts.map((part) => [`  ${part}`, table[part]] as const))),
        },
      },
    ];
  },
};
