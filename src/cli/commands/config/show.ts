// banger config show
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand({
  about: `Prints each setting with its value and where the value comes from: a line of config.toml, this host, or the built-in
default. The file's path stands above the table; it need not exist.`,
  examples: [
    ["banger config show", "all settings"],
    ["banger config show --json", "the same for programs"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { file, settings } = await client.call("config.show", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson({ file, settings });
    terminal.notice(`file: ${file}`);
    terminal.print(
      formatTable(
        ["key", "value", "origin"],
        settings.map(({ key, value, origin, line }) => [
          key,
          String(value),
          line === null ? origin : `${origin}, line ${line}`,
        ]),
      ),
    );
  },
});
