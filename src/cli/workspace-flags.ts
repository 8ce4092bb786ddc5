// The options that say what of a repository goes into a VM: shared by "vm run" and "vm workspace prepare".
import { resolve } from "node:path";
import type { ParamsOf } from "../api/methods.ts";
import { BangerError } from "../lib/errors.ts";
import type { Client } from "../sdk/client.ts";
import { flag, option } from "./command.ts";
import type { CliContext } from "./context.ts";
import { lfsWords, printPlan } from "./output/workspace-plan.ts";
import { toolTable } from "./workspaces/tool-lines.ts";

export type ShipFlags = {
  readonly mode?: "shallow" | "full" | "metadata-only" | "copy" | undefined;
  readonly includeUntracked?: boolean | undefined;
  readonly branch?: string | undefined;
  readonly from?: string | undefined;
  readonly dryRun?: boolean | undefined;
};

export const shipFlags = {
  mode: {
    kind: "enum",
    values: ["shallow", "full", "metadata-only", "copy"],
    optional: true,
    brief:
      "shallow: files and recent history; full: all history; metadata-only: no files; copy: no git; default: shallow",
  } as const,
  includeUntracked: flag("ship untracked files as well; ignored ones never go"),
  branch: option("make this branch in the guest and be on it", "name"),
  from: option("where --branch begins: a commit, tag or branch of the host; default: HEAD", "ref"),
  dryRun: flag("print what would be shipped and what would not, and do nothing"),
};

/** The daemon's words for them; what was not given is left out. */
export function shipParams(
  context: CliContext,
  path: string,
  { mode, includeUntracked, branch, from }: ShipFlags,
): ParamsOf<"workspace.inspect"> {
  return {
    path: resolve(context.cwd, path),
    ...(mode === undefined ? {} : { mode }),
    ...(includeUntracked === true ? { includeUntracked } : {}),
    ...(branch === undefined ? {} : { branch }),
    ...(from === undefined ? {} : { from }),
  };
}

/** Refuses what needs a repository when none is named. */
export function checkShipFlags(path: string | undefined, flags: ShipFlags): void {
  const given = (Object.keys(names) as (keyof ShipFlags)[]).filter((key) => flags[key] !== undefined);
  if (path === undefined && given.length > 0) {
    throw new BangerError("usage", `${given.map((key) => names[key]).join(", ")}: no path of a repository is given`);
  }
}

const names = {
  mode: "--mode",
  includeUntracked: "--include-untracked",
  branch: "--branch",
  from: "--from",
  dryRun: "--dry-run",
};

/** `--dry-run`. */
export async function showPlan(context: CliContext, client: Client, params: ParamsOf<"workspace.plan">): Promise<void> {
  const { terminal, interrupts } = context;
  const { signal } = interrupts;
  printPlan(terminal, await client.call("workspace.plan", params, { signal }));
  if (terminal.json) return;
  const tools = toolTable(await client.call("workspace.toolchain.inspect", { path: params.path }, { signal }));
  if (tools !== "") terminal.print(`\n${tools}`);
}

/** What was left behind, in one line; undefined when nothing was. */
export function leftBehind({
  untracked,
  lfsPointers = 0,
}: {
  untracked: number;
  lfsPointers?: number;
}): string | undefined {
  const words = [];
  if (untracked > 0) {
    words.push(
      `${untracked === 1 ? "1 untracked file is" : `${untracked} untracked files are`} not shipped: git add what the VM needs, or --include-untracked`,
    );
  }
  if (lfsPointers > 0) {
    words.push(`${lfsWords(lfsPointers)}: "git lfs pull" fetches it`);
  }
  return words.length === 0 ? undefined : words.join("; ");
}
