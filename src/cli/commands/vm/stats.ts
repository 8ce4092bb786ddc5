// banger vm stats
import type { ResultOf } from "../../../api/methods.ts";
import { formatBytes } from "../../../lib/units.ts";
import { reference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { formatTable } from "../../output/table.ts";
import { pause } from "../../pause.ts";

type Stats = ResultOf<"vm.stats">["vms"];

const everyMs = 1000;

export default defineCommand<{ readonly watch?: boolean }, string[]>({
  about: `Shows what running VMs use: all of them, or those that are named. CPU is that of one second, 100% is one processor. HOST MEM is the memory
of the VM's process on this host, MEM what is in use inside of the size that it was given, /ROOT the disk on /root. With --watch a
new table every second until Ctrl-C; with --json one array on each line then.`,
  examples: [
    ["banger vm stats", "all that run"],
    ["banger vm stats web db --watch", "two of them, every second"],
  ],
  parameters: {
    positional: { kind: "array", parameter: reference("vm") },
    flags: { watch: flag("again every second") },
    aliases: { w: "watch" },
  },
  async run(context, { watch = false }, ...names) {
    await using client = await context.connect();
    const { terminal, interrupts } = context;
    const { signal } = interrupts;
    const look = async () => (await client.call("vm.stats", names.length === 0 ? {} : { vms: names }, { signal })).vms;
    let before = await look();
    for (;;) {
      await pause(everyMs, signal);
      const now = await look();
      if (!terminal.json) terminal.print(tableOf(before, now));
      else if (watch) terminal.printJsonLine(withCpu(before, now));
      else terminal.printJson(withCpu(before, now));
      if (!watch) return;
      before = now;
    }
  },
});

/** Each VM with the processor time of the last second; null for one that was not there before. */
function withCpu(before: Stats, now: Stats) {
  return now.map((vm) => {
    const last = before.find(({ id }) => id === vm.id);
    const ms = vm.at - (last?.at ?? vm.at);
    if (last === undefined || ms <= 0) return { ...vm, cpuPercent: null };
    return { ...vm, cpuPercent: Math.round((1000 * (vm.host.cpuMs - last.host.cpuMs)) / ms) / 10 };
  });
}

function tableOf(before: Stats, now: Stats): string {
  return formatTable(
    ["name", "cpu", "host mem", "mem", "/root", "load", "procs"],
    withCpu(before, now).map(({ name, cpuPercent, host, guest }) => {
      const root = guest?.disks.find(({ mountPoint }) => mountPoint === "/root") ?? guest?.disks[0];
      return [
        name,
        cpuPercent === null ? "" : `${cpuPercent.toFixed(0)}%`,
        formatBytes(host.residentBytes),
        guest === null
          ? "no answer"
          : part(guest.memoryTotalBytes - guest.memoryAvailableBytes, guest.memoryTotalBytes),
        root === undefined ? "" : part(root.usedBytes, root.totalBytes),
        guest === null ? "" : guest.load1.toFixed(2),
        guest === null ? "" : String(guest.processes),
      ];
    }),
  );
}

const part = (used: number, total: number) => `${formatBytes(used)} of ${formatBytes(total)}`;
