// banger vm workspace plan
import { resolve } from "node:path";
import { pathOperand } from "../../../arguments.ts";
import { defineCommand } from "../../../command.ts";
import { toolTable } from "../../../workspaces/tool-lines.ts";

export default defineCommand<NonNullable<unknown>, [string?]>({
  about: `Shows which tools the repository of a directory (default: this one) pins, in which version and by which file. It is read on this host,
and nothing of the repository is run; no VM is needed.

Read are mise.toml, .mise.toml, .tool-versions, go.mod, .node-version, .nvmrc, package.json (engines), .python-version,
rust-toolchain.toml and rust-toolchain, at the top of the repository; for each tool the first of them counts.

"vm run <path>" looks which of them the VM has. Others are installed by mise, when the image has mise and the VM a network. Without a
network the run says what is missing; when a file for mise (the first three) names it, the run ends there unless --no-bootstrap is given.`,
  examples: [
    ["banger vm workspace plan", "the tools of this directory's repository"],
    ["banger vm workspace plan ./repo --json", "the same for programs"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{ ...pathOperand("path", "directory in a git repository; default: ."), optional: true }],
    },
  },
  async run(context, _flags, path = ".") {
    await using client = await context.connect();
    const { signal } = context.interrupts;
    const params = { path: resolve(context.cwd, path) };
    const found = await client.call("workspace.toolchain.inspect", params, { signal });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(found);
    if (found.tools.length === 0) return terminal.notice(`${found.root} pins no tools`, "dim");
    terminal.print(toolTable(found));
  },
});
