// What a repository's banger.toml wants of the network: shown, and used only when the user says so.
import type { NetworkRequest } from "../../api/network-records.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { workspaceWord } from "../network-options.ts";
import { policyLines } from "../output/network-text.ts";
import { askLine } from "../prompt.ts";

const fileName = "banger.toml";

/**
 * `root`: top of the repository that is shipped. The network to ask for: what was asked for on the command line, or what the repository wants when that was confirmed, by
 * `--network workspace` or on the terminal.
 */
export async function networkForRepository(
  context: CliContext,
  client: Client,
  root: string | undefined,
  asked: NetworkRequest | undefined,
): Promise<NetworkRequest | undefined> {
  const named = asked?.use === workspaceWord;
  if (asked !== undefined && !named) return asked;
  if (root === undefined) {
    if (!named) return undefined;
    throw new BangerError("usage", `--network ${workspaceWord} needs a repository, whose ${fileName} it means`);
  }
  const { policy } = await client.call("net.workspace", { root }, { signal: context.interrupts.signal });
  if (policy === null) {
    if (!named) return undefined;
    throw new BangerError("network.policy-invalid", `the repository has no ${fileName} with a [network]`, {
      hint: "banger vm run --nat",
    });
  }
  if (policy.mode === "none") return undefined;
  const { terminal } = context;
  terminal.notice(`${fileName} of the repository wants a network:`, "yellow");
  for (const line of policyLines({ ...policy, name: null })) terminal.notice(`  ${line}`);
  if (!named && !(await isConfirmed(context))) {
    terminal.notice(`not used; with --network ${workspaceWord} it is`, "dim");
    return undefined;
  }
  const { mode, allow, deny, hostPorts } = policy;
  const { join, secrets = [], allow: moreAllow = [], deny: moreDeny = [], hostPorts: morePorts = [] } = asked ?? {};
  return {
    use: mode,
    name: fileName,
    allow: [...allow, ...moreAllow],
    deny: [...deny, ...moreDeny],
    hostPorts: [...hostPorts, ...morePorts],
    ...(join === undefined ? {} : { join }),
    ...(secrets.length === 0 ? {} : { secrets }),
  };
}

async function isConfirmed(context: CliContext): Promise<boolean> {
  if (!context.streams.stdinIsTty || context.terminal.quiet) return false;
  const answer = await askLine(context, "use it? [y/N]", { hidden: false });
  return /^y(?:es)?$/i.test(answer.trim());
}
