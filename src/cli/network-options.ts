// The options that say what a VM may reach: shared by "vm run", "vm create", "vm set" and "net policy".
import type { NetworkRequest } from "../api/network-records.ts";
import { BangerError } from "../lib/errors.ts";
import { parseNetworkRule } from "../lib/network-rule.ts";
import { flag, option } from "./command.ts";

export type RuleFlags = {
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly allowHost?: readonly number[];
};

export type NetworkFlags = RuleFlags & {
  readonly nat?: boolean;
  readonly network?: string;
  readonly secret?: readonly string[];
  readonly join?: string;
};

/** Stands for what the repository's banger.toml says. */
export const workspaceWord = "workspace";

/** An option for a rule, checked while the command line is read. */
function ruleOption(name: string, brief: string) {
  return {
    kind: "parsed",
    parse: (text: string) => {
      parseNetworkRule(text, `--${name}`);
      return text;
    },
    optional: true,
    variadic: true,
    placeholder: "HOST[:PORT]",
    brief,
  } as const;
}

function parseHostPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new BangerError("usage", `--allow-host "${text}" is no port`);
  return port;
}

export const ruleFlags = {
  allow: ruleOption("allow", "let it reach a name, *.name, address or CIDR range, with a port or without (repeatable)"),
  deny: ruleOption("deny", "never let it reach that, whatever allows it (repeatable)"),
  allowHost: {
    kind: "parsed",
    parse: parseHostPort,
    optional: true,
    variadic: true,
    placeholder: "PORT",
    brief: "let it reach this TCP port of the host's 127.0.0.1 as host.vm:PORT (repeatable)",
  } as const,
};

export const networkFlag = {
  ...option(
    "none (default), open, balanced, locked, a policy of config.toml, or workspace: that of the repository's banger.toml",
    "mode|policy",
  ),
  proposeCompletions: () => ["none", "open", "balanced", "locked", workspaceWord],
};

export const networkFlags = {
  nat: flag("give the VM the public internet, and nothing of this host or its networks: --network balanced"),
  network: networkFlag,
  ...ruleFlags,
  join: option("be in a network with other VMs, which find it as <its name>.vm: network create --help", "network"),
  secret: {
    kind: "parsed",
    parse: String,
    optional: true,
    variadic: true,
    placeholder: "NAME",
    brief:
      "let its requests use a secret that it never has, and reach the hosts of that: secret set --help (repeatable)",
  } as const,
};

/** What was asked for; undefined when nothing was. */
export function networkParams({ nat, network, secret, join, ...rules }: NetworkFlags): NetworkRequest | undefined {
  if (nat === true && network !== undefined) {
    throw new BangerError("usage", "--nat and --network exclude each other: --nat means --network balanced");
  }
  const use = nat === true ? "balanced" : network;
  const request = {
    ...(use === undefined ? {} : { use }),
    ...ruleParams(rules),
    ...(join === undefined ? {} : { join }),
    ...(secret === undefined ? {} : { secrets: [...secret] }),
  };
  return Object.keys(request).length === 0 ? undefined : request;
}

/** Rules alone. */
export function ruleParams({
  allow,
  deny,
  allowHost,
}: RuleFlags): Pick<NetworkRequest, "allow" | "deny" | "hostPorts"> {
  return {
    ...(allow === undefined ? {} : { allow: [...allow] }),
    ...(deny === undefined ? {} : { deny: [...deny] }),
    ...(allowHost === undefined ? {} : { hostPorts: [...allowHost] }),
  };
}
