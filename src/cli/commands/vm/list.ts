// banger vm list, banger ps
import type { VmState } from "../../../api/records.ts";
import { BangerError } from "../../../lib/errors.ts";
import { formatAge, formatBytes } from "../../../lib/units.ts";
import { countOption } from "../../arguments.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { formatTable } from "../../output/table.ts";
import { networkWord } from "../../output/network-text.ts";
import { lineFormat } from "../../output/template.ts";
import { filterWords, fits, parseFilter, type VmFilter } from "../../vm-filter.ts";

/** With memory of their own, here or on the disk. */
const active: ReadonlySet<VmState> = new Set(["running", "paused"]);

type Flags = {
  readonly all?: boolean;
  readonly latest?: boolean;
  readonly last?: number;
  readonly filter?: readonly VmFilter[];
  readonly format?: string;
};

export default defineCommand<Flags>({
  about: `Lists VMs that run or are paused; --all adds those that are stopped, broken or on their way. With --quiet only the ids
are printed, one on each line, for scripts.

DISK is what the VM's own disks take on this host, which is less than the sizes they have in the VM, and while it is paused its
memory; what snapshots below them take stands in "vm snapshot list".

NETWORK, when one of them has one, is what the VM may reach ("net --help"); "failed" means that what carries it has ended: "net restart".

--filter takes id, name (a part of it), state, image and label (KEY or KEY=VALUE), each as often as needed; a state that is asked for
is shown also without --all. --format prints a line for each VM, with fields of its --json record in double braces.`,
  examples: [
    ["banger vm list --all", "every VM"],
    ["banger vm list --all --json", "every VM with all that is known of it, as a JSON array"],
    ["banger vm list --filter label=owner=me --filter state=stopped", "those of mine that are stopped"],
    ["banger vm list --format {{.name}}", "names, one on each line"],
    ["banger vm delete $(banger vm list --all --quiet)", "remove all VMs"],
  ],
  parameters: {
    flags: {
      all: flag("also VMs that neither run nor are paused"),
      latest: flag("only the newest VM, in whatever state"),
      last: countOption("last", "only the newest ones, in whatever state"),
      filter: {
        kind: "parsed",
        parse: parseFilter,
        optional: true,
        variadic: true,
        placeholder: "KEY=VALUE",
        brief: "only VMs that fit (repeatable)",
        proposeCompletions: () => filterWords,
      },
      format: option("a line for each VM, e.g. '{{.id}} {{.name}}'", "template"),
    },
    aliases: { a: "all", l: "latest", n: "last", f: "filter" },
  },
  async run(context, { all, latest, last, filter = [], format }) {
    const line = format === undefined ? undefined : lineFormat(format);
    if (line !== undefined && context.terminal.json) {
      throw new BangerError("usage", "--format and --json exclude each other: --json has all fields of every VM");
    }
    await using client = await context.connect();
    const { vms } = await client.call("vm.list", {});
    const newest = latest === true ? 1 : last;
    const anyState = all === true || newest !== undefined || filter.some(({ key }) => key === "state");
    const shown = vms
      .filter((vm) => (anyState || active.has(vm.state)) && fits(vm, filter))
      .slice(0, newest ?? Number.POSITIVE_INFINITY);
    const { terminal } = context;
    if (line !== undefined) return shown.forEach((vm) => terminal.print(line(vm)));
    if (terminal.json) return terminal.printJson(shown);
    if (terminal.quiet) return shown.forEach((vm) => terminal.print(vm.id));
    // A pipe gets the header in any case: what reads it need not know the exception.
    if (shown.length === 0 && terminal.stdout.isTTY === true) {
      const stopped = vms.length === 0 ? "" : `  # ${vms.length} more: banger vm list --all`;
      return terminal.notice(
        `no VM ${filter.length > 0 ? "fits" : anyState ? "is there" : "is running"}: banger vm run makes one${stopped}`,
        "dim",
      );
    }
    const now = Date.now();
    const networks = shown.some(({ network }) => network.mode !== "none");
    terminal.print(
      formatTable(
        ["id", "name", "state", "image", "vcpu", "mem", "disk", ...(networks ? ["network"] : []), "created"],
        shown.map((vm) => [
          vm.id,
          vm.name,
          vm.state,
          vm.image.name,
          String(vm.spec.vcpus),
          `${vm.spec.memoryMib} MiB`,
          formatBytes(vm.diskUsedBytes),
          ...(networks ? [networkWord(vm.network)] : []),
          formatAge(vm.createdAt, now),
        ]),
      ),
    );
  },
});
