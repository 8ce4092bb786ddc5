// banger image import
import { resolve } from "node:path";
import type { ParamsOf } from "../../../api/methods.ts";
import { resolvePaths } from "../../../config/paths.ts";
import { BangerError } from "../../../lib/errors.ts";
import { pathOperand } from "../../arguments.ts";
import { defineCommand, flag, option } from "../../command.ts";
import type { CliContext } from "../../context.ts";
import { operate } from "../../operate.ts";
import { spoolInput } from "../../spool-input.ts";

type Flags = {
  readonly name?: string;
  readonly from?: string;
  readonly reference?: string;
  readonly platform?: string;
  readonly force?: boolean;
};

export default defineCommand<Flags, [string]>({
  about: `Makes an image from what is on this machine; which of these it is, is found out:

  an OCI image layout, as a directory or a tar        with layers, entrypoint, environment, user
  an archive of "docker save" or "podman save"        the same
  the tar of a root file system                       nothing of banger has to be inside
  an image in the store of docker or podman           with --from; through their own clients

Tars may be compressed with gzip, zstd or xz. "-" reads standard input. Owners, modes, links and extended attributes are kept; no root
is needed. Prints the image's name: --name, or what the archive calls it, or made of the file's name.

Next: banger vm run --image <name>`,
  examples: [
    ["banger image import ./layout --name mine", "an OCI image layout as an image named mine"],
    ["docker save app:1.0 | banger image import -", "from docker, through a pipe"],
    ["banger image import --from podman localhost/app:1.0", "out of podman's store"],
    ["banger image import ./rootfs.tar --name mine", "the tar of a root file system"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [pathOperand("source", "directory, file, - for standard input; with --from the image's name there")],
    },
    flags: {
      name: option("name of the image: 1 to 63 of a-z 0-9 and -, or like app:1.0", "name"),
      from: option("docker or podman: take the image out of its store", "engine"),
      reference: option("which image of an archive that has several: its name there, or its digest", "name"),
      platform: option("platform of the image, e.g. linux/arm64; default: this machine's", "platform"),
      force: flag("take the name over from an image that has it"),
    },
  },
  async run(context, flags, source) {
    checkOptions(flags, source);
    await using input =
      source === "-" ? await spoolInput(context.streams, resolvePaths(context.env).cacheDir) : undefined;
    await using client = await context.connect();
    const record = await operate(context, client, "image.import", importParams(context, flags, source, input?.path));
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.name);
  },
});

function importParams(
  context: CliContext,
  { name, from, reference, platform, force }: Flags,
  source: string,
  spooled: string | undefined,
): ParamsOf<"image.import"> {
  const common = {
    ...(name === undefined ? {} : { name }),
    ...(platform === undefined ? {} : { platform }),
    ...(force === true ? { force } : {}),
  };
  if (from === undefined) {
    return {
      ...(spooled === undefined ? { path: resolve(context.cwd, source) } : { path: spooled, shown: "stdin" }),
      ...(reference === undefined ? {} : { reference }),
      ...common,
    };
  }
  return { engine: from === "podman" ? "podman" : "docker", reference: source, ...common };
}

function checkOptions({ from, reference }: Flags, source: string): void {
  if (from === undefined) return;
  if (from !== "docker" && from !== "podman")
    throw new BangerError("usage", `--from "${from}" is neither docker nor podman`);
  if (source === "-" || reference !== undefined) {
    throw new BangerError("usage", "with --from, the image is named by its one operand");
  }
}
