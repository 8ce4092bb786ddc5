// Resident memory of a daemon that has found a running VM again and does nothing.
import { setTimeout as delay } from "node:timers/promises";
import type { Row } from "../measure.ts";
import { summarise } from "../statistics.ts";
import { createVm } from "../vms.ts";

export const daemonMemory: Row = {
  name: "daemon-memory",
  about: "memory of the daemon",
  async measure({ banger, client, rounds }) {
    await using _vm = await createVm(client, {});
    await banger.time("daemon", "stop");
    // The first command starts it.
    await banger.time("vm", "list");
    const values: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await delay(200);
      const { residentBytes } = await client.call("daemon.status", {});
      values.push(residentBytes / 1_000_000);
    }
    const memory = summarise(values);
    return [{ name: "idle daemon, memory", value: memory.median, unit: "MB", target: 90, sides: { bangerd: memory } }];
  },
};
