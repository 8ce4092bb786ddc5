// banger daemon status
import type { ResultOf } from "../../../api/methods.ts";
import { formatAge, formatBytes } from "../../../lib/units.ts";
import { defineCommand } from "../../command.ts";
import { formatPairs } from "../../output/table.ts";

export default defineCommand({
  about: `Says whether the daemon runs, which version it is, where its socket, state and log are, and what it does. Does not start it:
when it is down the error says so and the exit code is 1.`,
  examples: [
    ["banger daemon status", "is it there, where is its log"],
    ["banger daemon status --json | jq -r .log", "the log's path"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect({ autoStart: false });
    const status = await client.call("daemon.status", {});
    const { dns } = status;
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(status);
    if (terminal.quiet) return terminal.print(String(status.pid));
    terminal.print(
      formatPairs([
        ["pid", String(status.pid)],
        ["version", status.version],
        ["commit", status.commit],
        ["built", status.builtAt === 0 ? "from source" : new Date(status.builtAt).toISOString()],
        ["started", formatAge(status.startedAt, Date.now())],
        ["socket", status.socket],
        ["state", status.stateDir],
        ["log", status.log],
        ...(dns === undefined ? [] : [["names", namesOf(dns)] as const]),
        ["vms running", String(status.vmsRunning)],
        ["operations", String(status.operationsRunning)],
        ["sessions", String(status.sessionsOpen)],
        ["memory", formatBytes(status.residentBytes)],
      ]),
    );
  },
});

function namesOf({ listening, port, problem, server }: NonNullable<ResultOf<"daemon.status">["dns"]>): string {
  return listening ? `<vm>.vm on ${server}:${port}` : `no: ${problem}`;
}
