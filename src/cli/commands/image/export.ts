// banger image export
import { resolve } from "node:path";
import { formatBytes } from "../../../lib/units.ts";
import { pathOperand, reference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { operate } from "../../operate.ts";

export default defineCommand<{ readonly tar?: boolean }, [string, string]>({
  about: `Writes an image as an OCI image layout, for other tools: a directory, or a tar of one when the path ends in .tar or with --tar.
Manifest, config and layers are the original ones, so its digest stays what it was. Layers that are not in the cache any more are
fetched again. An image that did not come from a registry has one layer then, with all its files. Prints the path.`,
  examples: [
    ["banger image export alpine:3.20 ./alpine", "a directory"],
    ["banger image export alpine:3.20 ./alpine.tar && docker load -i ./alpine.tar", "a tar, into docker"],
    ["banger image export debian-bookworm ./debian", "also what was made on this machine"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [reference("image"), pathOperand("path", "what is written; must not exist")],
    },
    flags: { tar: flag("write a tar whatever the path is called") },
  },
  async run(context, { tar }, image, path) {
    await using client = await context.connect();
    const params = { image, path: resolve(context.cwd, path), ...(tar === true ? { format: "tar" as const } : {}) };
    const written = await operate(context, client, "image.export", params);
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(written);
    terminal.print(written.path);
    const layers = written.original ? "of layers" : "in one layer";
    terminal.notice(`${formatBytes(written.bytes)} ${layers}, manifest ${written.manifest}`, "dim");
  },
});
