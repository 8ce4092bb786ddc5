// banger image pull
import { reference } from "../../arguments.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { operate } from "../../operate.ts";

type Flags = { readonly platform?: string; readonly insecure?: boolean; readonly force?: boolean };

export default defineCommand<Flags, [string]>({
  about: `Makes an image on this machine: of what a registry has under a reference, or of a recipe of the catalog, from the distribution's
own packages. "vm run" does it by itself when the image is missing. Prints the image's name.

A reference is written as for docker: alpine:3.20, ghcr.io/owner/app:1.0, host:5000/app@sha256:<digest>. Of an image for several
platforms the one for this machine is taken. Pulling a tag again asks the registry what it is now; only what is new is fetched.
A pull that was interrupted goes on where it was. Logins of docker count, also those in credential helpers.`,
  examples: [
    ["banger image pull alpine:3.20", "an image of Docker Hub"],
    ["banger image pull ghcr.io/owner/app:1.0", "one of another registry"],
    ["banger image pull debian-bookworm", "a recipe of the catalog"],
    ["banger image pull debian-bookworm --force", "make it again, with today's packages"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        {
          ...reference("image-catalog"),
          placeholder: "reference",
          brief: "reference of an image, or a name in the catalog",
        },
      ],
    },
    flags: {
      platform: option("platform of the image, e.g. linux/arm64; default: this machine's", "platform"),
      insecure: flag(
        "allow plain HTTP and any certificate; without it plain HTTP is for registries on this machine only",
      ),
      force: flag("make an image of the catalog again although it is there"),
    },
  },
  async run(context, { platform, insecure, force }, name) {
    await using client = await context.connect();
    const record = await operate(context, client, "image.pull", {
      name,
      ...(platform === undefined ? {} : { platform }),
      ...(insecure === true ? { insecure } : {}),
      ...(force === true ? { force } : {}),
    });
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.name);
  },
});
