// banger vm fork
import { BangerError } from "../../../lib/errors.ts";
import { formatDuration } from "../../../lib/units.ts";
import { noticeBoot } from "../../boot-notice.ts";
import { countOption, oneReference } from "../../arguments.ts";
import { defineCommand, option } from "../../command.ts";
import { operate } from "../../operate.ts";

const maxCount = 100;

export default defineCommand<{ readonly count?: number; readonly name?: string }, [string]>({
  about: `Makes new VMs that go on from the memory and disks of a VM as it is now, or of a snapshot. What ran in the source runs in
every fork; the source itself runs on, after a halt of some tens of milliseconds. Memory and disks are shared until somebody writes
to them, so a fork starts as fast as an empty VM and takes little room.

A fork is another machine before anything in it runs on: name, host name, machine id, boot id, SSH host keys, the time and fresh
randomness are its own. What a program has in its own memory (a seeded random generator, a session key) is a copy. Commands that "vm exec" is running
go on in the source and end in the forks; services, and what was left in the background, go on in both. When one fork cannot be made,
none is kept. When the memory of a snapshot does not fit this host any more, its forks boot from its disks, and a notice says so.

Prints the names of the forks, one on each line. With --json: {"vms", "pausedMs"}. Several forks of one snapshot can also be made
later: "vm snapshot create" keeps the state, "vm fork <snapshot>" goes on from it.`,
  examples: [
    ["banger vm fork sandbox", "one more VM that is where sandbox is"],
    ["banger vm fork sandbox --count 10 --name try", "ten of them: try-1 to try-10"],
    ["banger vm fork toolchain-ready --name idea", "a VM that goes on from a snapshot"],
    ["banger vm delete $(banger vm fork sandbox --quiet)", "fork and throw away"],
  ],
  parameters: {
    positional: oneReference("vm-or-snapshot"),
    flags: {
      count: countOption("count", `how many forks to make, at most ${maxCount}; default: 1`),
      name: option("name of the fork; of several: <name>-1, <name>-2, ...; <vm>-fork-1, ... when left out", "name"),
    },
  },
  async run(context, { count, name }, source) {
    if (count !== undefined && (count < 1 || count > maxCount)) {
      throw new BangerError("usage", `--count ${count} is not possible: write 1 to ${maxCount}`);
    }
    await using client = await context.connect();
    const result = await operate(context, client, "vm.fork", {
      source,
      ...(count === undefined ? {} : { count }),
      ...(name === undefined ? {} : { name }),
    });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(result);
    for (const vm of result.vms) terminal.print(terminal.quiet ? vm.id : vm.name);
    if (result.pausedMs > 0) terminal.notice(`${source}: stood still for ${formatDuration(result.pausedMs)}`, "dim");
    for (const vm of result.vms) noticeBoot(terminal, vm);
    const first = result.vms[0];
    if (first !== undefined) terminal.notice(`next: banger vm exec ${first.name} -- <command>`, "dim");
  },
});
