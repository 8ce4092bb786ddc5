// banger dns status
import { defineCommand } from "../../command.ts";
import { formatPairs } from "../../output/table.ts";

export default defineCommand({
  about: `Says where names below .vm are answered, and whether they are: another program, or the daemon of another home, may have the
port. Then the daemon goes on without them. Whether this host's resolver asks there is told by: getent hosts <name>.vm`,
  examples: [
    ["banger dns status", "where, and whether"],
    ["getent hosts web.vm", "what this host makes of a VM's name"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const status = await client.call("dns.status", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(status);
    terminal.print(
      formatPairs([
        ["server", `${status.server}:${status.port}`],
        ["answers", status.listening ? "yes" : `no: ${status.problem}`],
        ["names", "<vm>.vm, for each VM"],
      ]),
    );
    if (status.listening) terminal.notice("next: banger dns setup", "dim");
  },
});
