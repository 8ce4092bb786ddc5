// banger image pull
import { reference } from "../../arguments.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { operate } from "../../operate.ts";

type Flags = { readonly platform?: string; readonly insecure?: boolean; readonly force?: boolean };

export default defineCommand<Flags, [string]>({
  about: `Makes an image on this machine: of what a registry has under a reference, or of an entry of the catalog ("image catalog"), which is the
content of a digest, or a recipe for the distribution's packages. "vm run" does it by itself when the image is missing. Prints the
image's name.

A reference is written as for docker: alpine:3.20, ghcr.io/owner/app:1.0, host:5000/app@sha256:<digest>. Of an image for several
platforms the one for this machine is taken. Pulling a tag again asks the registry what it is now; only what is new is fetched.
A pull that was interrupted goes on where it was. Logins of docker count, also those in credential helpers.`,
  examples: [
    ["banger image pull alpine:3.20", "an image of Docker Hub"],
    ["banger image pull ghcr.io/owner/app:1.0", "one of another registry"],
    ["banger image pull debian-13", "an image of the catalog, always the same content"],
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
        "allow plain HTTP and any certificate, also when this reference is pulled again; without it plain HTTP is for registries on this machine only",
      ),
      force: flag("make the image again although it is there; refused while a VM uses it"),
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
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(record);
    terminal.print(terminal.quiet ? record.id : record.name);
    if (record.pulled?.insecure === true && insecure !== true) {
      const why = "as with --insecure before; image delete forgets that";
      terminal.notice(`pulled without a check of who answers, ${why}`, "yellow");
    }
    if (record.pulled?.outcome === "rebuilt")
      terminal.notice("its content is unchanged; its disk was made again", "dim");
    if (record.pulled?.outcome === "present") terminal.notice("it was there already", "dim");
  },
});
