// banger version
import { defineCommand } from "../command.ts";
import { versionRecord, versionText } from "../version.ts";

export default defineCommand({
  about: `Prints the version of this program. "banger --version" prints it on one line. The daemon's version: "banger daemon status".`,
  examples: [["banger version --json", "version, commit and build time for programs"]],
  parameters: {},
  run({ terminal }) {
    if (terminal.json) terminal.printJson(versionRecord());
    else terminal.print(versionText());
  },
});
