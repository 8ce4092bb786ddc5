// banger vm set
import { BangerError } from "../../../lib/errors.ts";
import type { ResultOf } from "../../../api/methods.ts";
import type { VmRecord, VmSpec } from "../../../api/records.ts";
import { shortSize } from "../../create-vm.ts";
import { manyReferences } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { operate } from "../../operate.ts";
import { ProgressView } from "../../output/progress.ts";
import { networkFlag } from "../../network-options.ts";
import { forTargets } from "../../targets.ts";
import { type SizeFlags, sizeFlags, sizeParams } from "../../vm-options.ts";

type Flags = Pick<SizeFlags, "vcpu" | "memory" | "diskSize" | "systemOverlaySize"> & {
  readonly network?: string;
  readonly restart?: boolean;
};

const { vcpu, memory, diskSize, systemOverlaySize } = sizeFlags;

export default defineCommand<Flags, string[]>({
  about: `Changes what VMs are made of.

CPUs and memory: from the next start on. A running VM goes on with what it has; --restart stops and starts it at once (its
processes end, its disks stay).
Disks: they grow at once, in a running VM under the feet of whoever works there; nothing has to be mounted anew. They never get
smaller: what lies at their end would be lost. They take room on the host only as they fill.
Network: at once, also from none to some and back; "net policy" changes single rules.

A paused VM is refused: resume it first. Snapshots keep the sizes that they were taken with, and "vm restore" brings them back.
With --json: an array of {vm, atNextStart}, where atNextStart names what a running VM has still otherwise.`,
  examples: [
    ["banger vm set sandbox --disk-size 20G", "more room on /root, now"],
    ["banger vm set sandbox --vcpu 4 --memory 8G", "more of the host, from the next start on"],
    ["banger vm set sandbox --network balanced", "the public internet, from now on; --network none takes it away"],
    ["banger vm set sandbox --memory 8G --restart", "the same, and start it anew now"],
  ],
  parameters: {
    positional: manyReferences("vm"),
    flags: {
      vcpu,
      memory,
      diskSize,
      systemOverlaySize,
      network: networkFlag,
      restart: flag("restart a running VM when it has something of this only after a start"),
    },
  },
  async run(context, { restart = false, network, ...flags }, ...vms) {
    const change = { ...sizeParams(flags), ...(network === undefined ? {} : { network: { use: network } }) };
    if (Object.keys(change).length === 0) {
      throw new BangerError(
        "usage",
        "say what to change: --vcpu, --memory, --disk-size, --system-overlay-size or --network",
      );
    }
    await using client = await context.connect();
    using view = new ProgressView(context.terminal);
    await forTargets(context, vms, {
      find: (vm) => client.call("vm.show", { vm }),
      act: async ({ id, name }) => {
        const done = await operate(context, client, "vm.set", { ...change, vm: id }, { view });
        const now = partsOf(flags).filter((part) => !done.atNextStart.includes(part));
        if (now.length > 0) {
          const when = done.vm.state === "running" ? "in effect now" : "takes effect at the next start";
          context.terminal.notice(`${name}: ${describe(done.vm, now)}: ${when}`);
        }
        if (network !== undefined) context.terminal.notice(`${name}: network ${network}: in effect now`);
        if (done.atNextStart.length === 0) return done;
        if (restart) return { vm: await operate(context, client, "vm.restart", { vm: id }, { view }), atNextStart: [] };
        context.terminal.notice(`${name}: ${describe(done.vm, done.atNextStart)}: takes effect at the next start`);
        context.terminal.notice(`next: banger vm restart ${name}`, "dim");
        return done;
      },
    });
  },
});

type Part = ResultOf<"vm.set">["atNextStart"][number];

/** "4 vcpu, 8192 MiB". */
function describe({ spec }: VmRecord, parts: readonly Part[]): string {
  return parts.map((part) => words[part](spec)).join(", ");
}

const words: Record<Part, (spec: VmSpec) => string> = {
  vcpus: ({ vcpus }) => `${vcpus} vcpu`,
  memoryMib: ({ memoryMib }) => `${memoryMib} MiB`,
  diskBytes: ({ diskBytes }) => `${shortSize(diskBytes)} disk`,
  overlayBytes: ({ overlayBytes }) => `${shortSize(overlayBytes)} system overlay`,
};

/** What the options ask for. */
function partsOf(flags: Flags): Part[] {
  const asked = {
    vcpus: flags.vcpu,
    memoryMib: flags.memory,
    diskBytes: flags.diskSize,
    overlayBytes: flags.systemOverlaySize,
  };
  return (Object.keys(asked) as Part[]).filter((part) => asked[part] !== undefined);
}
