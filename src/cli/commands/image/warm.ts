// banger image warm
import { environmentOption, oneReference } from "../../arguments.ts";
import { defineCommand, option } from "../../command.ts";
import { type NetworkFlags, networkFlags, networkParams } from "../../network-options.ts";
import { operate } from "../../operate.ts";
import { type SizeFlags, sizeFlags, sizeParams } from "../../vm-options.ts";

type Flags = SizeFlags & Omit<NetworkFlags, "join"> & { readonly name?: string; readonly env?: readonly string[] };

// A VM that is gone afterwards is in no network with others.
const { join: _join, ...commandNetworkFlags } = networkFlags;

export default defineCommand<Flags, [string]>({
  about: `Makes a snapshot of a VM whose work is already begun: starts a VM of the image, runs the command in it to its end (it must exit
with 0), keeps memory and disks, and removes the VM. What the command started in the background, a database for example, is up at
once in every VM that is made with "vm run --warm-from <snapshot>".

The network that options give is for that command only: what is made of the snapshot has what its own options say.

Kernel and sizes are fixed with the snapshot. Prints its name; "vm snapshot list" shows it, "vm snapshot delete" removes it.`,
  examples: [
    ["banger image warm debian-bookworm --name base", "an image that is up, with nothing run in it"],
    [
      "banger image warm mine --name db --memory 2G -- /usr/local/bin/start-database",
      "an image whose database is up already",
    ],
    [
      "banger image warm mine --name up --init /sbin/init -- systemctl is-system-running --wait",
      "an image whose systemd has started its services",
    ],
    [
      "banger image warm mine --name tools --nat -- sh -c 'apt-get update && apt-get install -y jq'",
      "an image with a package more, fetched once",
    ],
    ["banger vm run --rm --warm-from db -- make test", "then: a run that starts there"],
  ],
  rest: "dashes",
  operands: "<image> [-- <command> [argument...]]",
  parameters: {
    positional: oneReference("image"),
    flags: {
      name: option("name of the snapshot: 1 to 63 of a-z 0-9 and -; generated when left out", "name"),
      ...sizeFlags,
      ...commandNetworkFlags,
      env: environmentOption,
    },
    aliases: { e: "env" },
  },
  async run(context, { name, env, ...options }, image) {
    const network = networkParams(options);
    await using client = await context.connect();
    const argv = context.rest ?? [];
    const record = await operate(context, client, "image.warm", {
      image,
      ...(name === undefined ? {} : { name }),
      ...(argv.length === 0 ? {} : { argv: [...argv] }),
      ...(env === undefined ? {} : { environment: [...env] }),
      ...sizeParams(options),
      ...(network === undefined ? {} : { network }),
    });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(record);
    terminal.print(terminal.quiet ? record.id : record.name);
    terminal.notice(`next: banger vm run --warm-from ${record.name}`, "dim");
  },
});
