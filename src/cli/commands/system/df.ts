// banger system df
import { formatBytes } from "../../../lib/units.ts";
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand({
  about: `Shows how much room banger takes on this host, and what of it "system prune" would give back. A VM's own disks count with it, what
snapshots below them take with the snapshots; images share nothing with each other.`,
  examples: [["banger system df", "where the room went"]],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const reply = await client.call("system.df", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(reply);
    terminal.print(
      formatTable(
        ["what", "count", "in use", "size", "freeable"],
        reply.use.map((row) => [
          row.kind,
          String(row.count),
          String(row.inUse),
          formatBytes(row.usedBytes),
          row.freeableBytes === 0 ? "" : formatBytes(row.freeableBytes),
        ]),
      ),
    );
    terminal.notice(`${formatBytes(reply.stateFreeBytes)} free on the disk of ${reply.stateDir}`, "dim");
  },
});
