// The tools that a repository pins, in a VM that it was put into: told when they are there or installed, and when they are not.
import type { GuestTool } from "../../api/workspace-tool-methods.ts";
import type { VmRecord } from "../../api/records.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { operate } from "../operate.ts";
import { pinText } from "../workspaces/tool-lines.ts";

/** Files that are written for mise: who has one means those versions and no others. */
const strict = new Set(["mise.toml", ".mise.toml", ".tool-versions"]);

const without = "add --no-bootstrap to go on without them, or take an image that has them: banger image catalog";

/** Nothing to do when the repository pins none. Throws `workspace.tools-missing` when what a file for mise names cannot be had. */
export async function bringTools(context: CliContext, client: Client, record: VmRecord, path: string): Promise<void> {
  const { terminal, interrupts } = context;
  const { tools } = await client.call("workspace.toolchain.inspect", { path }, { signal: interrupts.signal });
  if (tools.length === 0) return;
  const found = await operate(
    context,
    client,
    "workspace.toolchain.install",
    { vm: record.id },
    { label: record.name },
  );
  const missing = found.tools.filter((tool) => tool.missing);
  if (missing.length === 0) {
    if (found.installed) terminal.notice(`installed: ${tools.map(pinText).join(", ")}`, "dim");
    return;
  }
  const what = `${missing.map(missingText).join(", ")}: ${found.problem}`;
  if (missing.every(({ source }) => !strict.has(source))) {
    terminal.notice(`the repository asks for tools that the VM does not have: ${what}`, "yellow");
    return;
  }
  throw new BangerError(
    "workspace.tools-missing",
    `the repository asks for tools that VM "${record.name}" does not have: ${what}`,
    { hint: found.network ? without : `banger vm run --nat ${path}  # to install them, or ${without}` },
  );
}

function missingText(tool: GuestTool): string {
  return tool.found === null ? pinText(tool) : `${pinText(tool)}, it has ${tool.found}`;
}
