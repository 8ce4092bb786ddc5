// `vm exec` on a running VM: its wall time, and how much of it is not the start of the program itself. That start is taken in two
// ways: `banger version` loads next to nothing, `banger vm exec --help` loads this command and parses its words, but asks no daemon.
// Part of the rest is the guest's own work, which is shown beside it: what one more /bin/true takes from a shell in the guest.
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";
import { createVm } from "../vms.ts";

/** How often the guest's shell runs the command by itself, to find what that takes without us. */
const repeats = 20;

export const exec: Row = {
  name: "exec",
  about: "a command in a running VM",
  async measure({ banger, client, rounds }) {
    await using vm = await createVm(client, {});
    const script = `i=0; while [ $i -lt ${repeats} ]; do /bin/true; i=$((i+1)); done`;
    const values = await interleave(rounds, {
      exec: () => banger.time("vm", "exec", vm.name, "--", "true"),
      version: () => banger.time("version"),
      help: () => banger.time("vm", "exec", "--help"),
      guest: () => banger.time("vm", "exec", vm.name, "--", "sh", "-c", script),
    });
    const wall = summarise(values.exec);
    const version = summarise(values.version);
    const help = summarise(values.help);
    const sides = { "banger vm exec <vm> -- true": wall };
    const inGuest = summarise(values.guest.map((ms) => (ms - wall.median) / repeats));
    return [
      { name: "exec, wall time", value: wall.median, unit: "ms", target: 120, sides },
      {
        name: "exec beyond banger version",
        value: wall.median - version.median,
        unit: "ms",
        target: 25,
        sides: { ...sides, "banger version": version, "/bin/true from a shell in the guest": inGuest },
      },
      {
        name: "exec beyond banger vm exec --help",
        value: wall.median - help.median,
        unit: "ms",
        target: 25,
        sides: { ...sides, "banger vm exec --help": help },
      },
    ];
  },
};
