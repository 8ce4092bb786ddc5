// Reads what a repository's banger.toml says of the network. The file is a stranger's: it is a wish, which nobody grants unseen.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as v from "valibot";
import { BangerError } from "../lib/errors.ts";
import { type NetworkPolicyTable, toPolicy } from "./resolve.ts";
import { networkPolicyTable } from "./schema.ts";

export const workspaceFileName = "banger.toml";
const maxBytes = 64 * 1024;

/** Other tables are others' business. */
const schema = v.looseObject({ network: v.optional(networkPolicyTable) });

/**
 * The `[network]` of the banger.toml in `root`, the top of a work tree; undefined when there is none. Throws `config.invalid` with what is wrong.
 */
export async function readWorkspacePolicy(root: string): Promise<NetworkPolicyTable | undefined> {
  const file = join(root, workspaceFileName);
  const text = await readText(file);
  if (text === undefined) return undefined;
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw invalid(file, `line ${error.line} is not valid TOML`, error);
  }
  const checked = v.safeParse(schema, table);
  if (!checked.success) {
    const [issue] = checked.issues;
    const path = issue.path?.map((item) => String(item.key)).join(".") ?? "";
    const unknown = issue.type === "strict_object" && issue.expected === "never";
    throw invalid(file, unknown ? `${path}: unknown key` : `${path}: expected ${issue.message}`);
  }
  const { network } = checked.output;
  return network === undefined ? undefined : toPolicy(network);
}

/** Follows no link: that could lead to a file which only its reader may see, whose lines errors would then show. */
async function readText(file: string): Promise<string | undefined> {
  try {
    await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const info = await handle.stat();
    if (!info.isFile() || info.size > maxBytes) throw invalid(file, `it is no file of at most ${maxBytes} bytes`);
    return new TextDecoder("utf-8", { fatal: true }).decode(await handle.readFile());
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (error instanceof BangerError) throw error;
    throw invalid(file, (error as Error).message, error);
  }
}

function invalid(file: string, why: string, cause?: unknown): BangerError {
  return new BangerError("config.invalid", `"${file}" cannot be used: ${why}`, {
    cause,
    hint: "--network none  # or another one: then the file is not looked at",
  });
}
