// banger operation list
import type { Operation } from "../../../api/records.ts";
import { formatAge, formatDuration } from "../../../lib/units.ts";
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand({
  about: `Lists operations, newest first: those under way and those that ended lately. With --quiet only the ids of those under way.`,
  examples: [
    ["banger operation list", "what the daemon does and did"],
    ["banger operation list --json", "with errors and results, as a JSON array"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { operations } = await client.call("operation.list", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(operations);
    if (terminal.quiet) {
      for (const { id, done } of operations) if (!done) terminal.print(id);
      return;
    }
    const now = Date.now();
    terminal.print(
      formatTable(
        ["id", "kind", "target", "state", "took", "started"],
        operations.map((operation) => [
          operation.id,
          operation.kind,
          operation.target,
          stateOf(operation),
          formatDuration((operation.done ? operation.updatedAt : now) - operation.startedAt),
          formatAge(operation.startedAt, now),
        ]),
      ),
    );
  },
});

function stateOf(operation: Operation): string {
  if (!operation.done) return operation.stage === "" ? "running" : `running: ${operation.stage}`;
  return operation.error === null ? "done" : `failed: ${operation.error.code}`;
}
