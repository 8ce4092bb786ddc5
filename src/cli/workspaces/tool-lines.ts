// The tools that a repository pins, as lines for people.
import type { ResultOf } from "../../api/methods.ts";
import type { PinnedTool } from "../../api/workspace-tool-methods.ts";
import { formatTable } from "../output/table.ts";

/** "go 1.24 (go.mod)". */
export function pinText({ tool, version, wanted, source }: PinnedTool): string {
  return `${tool} ${version ?? wanted} (${source})`;
}

/** A table, and what does not count. Empty when nothing is pinned. */
export function toolTable({ tools, shadowed }: ResultOf<"workspace.toolchain.inspect">): string {
  if (tools.length === 0) return "";
  const rows = tools.map(({ tool, version, wanted, source }) => [
    tool,
    version ?? `any of ${wanted}`,
    source,
    shadowed
      .filter((other) => other.tool === tool)
      .map((other) => `${other.source} says ${other.version ?? other.wanted}`)
      .join(", "),
  ]);
  return formatTable(["tool", "version", "by", "not by"], rows);
}
