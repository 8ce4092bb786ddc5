// banger image cache verify
import { formatBytes } from "../../../../lib/units.ts";
import { defineCommand } from "../../../command.ts";
import { operate } from "../../../operate.ts";

export default defineCommand({
  about: `Reads every blob of pulled images again and compares it with its digest. Damaged ones are removed and named; the exit code is 1
then, and the next pull fetches them again. Images that were made of them are not touched.`,
  examples: [["banger image cache verify", "check all of them"]],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const result = await operate(context, client, "image.cache.verify", {}, { label: "cache" });
    const { terminal } = context;
    if (result.bad.length > 0) context.exitCode = 1;
    if (terminal.json) return terminal.printJson(result);
    for (const digest of result.bad) terminal.print(terminal.quiet ? digest : `removed ${digest}: it was damaged`);
    if (terminal.quiet) return;
    terminal.print(
      `${result.blobs - result.bad.length} of ${result.blobs} blob(s) are good (${formatBytes(result.bytes)} read)`,
    );
  },
});
