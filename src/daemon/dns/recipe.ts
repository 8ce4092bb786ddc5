// How this host's resolver learns whom to ask for names below ".vm": what has to be written, and run after it.
import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { ResultOf } from "../../api/methods.ts";
import { dnsHost } from "./dns.ts";

export type Recipe = Pick<ResultOf<"dns.setup">, "resolver" | "files" | "commands" | "notes">;

/** Looks at the files of a host (below `root`), not at its processes: the same for every user. */
export function detectResolver(root = "/"): Recipe["resolver"] {
  const text = (path: string) => quietly(() => readFileSync(join(root, path), "utf8"), "");
  const target = quietly(() => readlinkSync(join(root, "etc/resolv.conf")), "");
  const resolvConf = text("etc/resolv.conf");
  if (target.includes("systemd/resolve") || /^nameserver\s+127\.0\.0\.5[34]\b/m.test(resolvConf)) {
    return "systemd-resolved";
  }
  const isThere = (path: string) => lstatSync(join(root, path), { throwIfNoEntry: false }) !== undefined;
  if (isThere("run/NetworkManager")) return "NetworkManager";
  const local = /^nameserver\s+(?:127\.|::1)/m.test(resolvConf);
  return local && isThere("etc/dnsmasq.conf") ? "dnsmasq" : "resolv.conf";
}

/** `systemdVersion`: 0 when it is not known. */
export function recipeFor(resolver: Recipe["resolver"], port: number, systemdVersion = 0): Recipe {
  const server = `server=/vm/${dnsHost}#${port}\n`;
  switch (resolver) {
    case "systemd-resolved":
      return resolvedRecipe(port, systemdVersion);
    case "dnsmasq":
      return {
        resolver,
        files: [{ path: "/etc/dnsmasq.d/banger.conf", content: server }],
        commands: [["systemctl", "restart", "dnsmasq"]],
        notes: ["dnsmasq must read /etc/dnsmasq.d: the service of Debian and the dnsmasq.conf of Fedora say so"],
      };
    case "NetworkManager":
      return {
        resolver,
        files: [
          { path: "/etc/NetworkManager/conf.d/banger.conf", content: "[main]\ndns=dnsmasq\n" },
          { path: "/etc/NetworkManager/dnsmasq.d/banger.conf", content: server },
        ],
        commands: [["systemctl", "restart", "NetworkManager"]],
        notes: [
          "NetworkManager runs a dnsmasq of its own for this: the package dnsmasq-base (or dnsmasq) must be there",
        ],
      };
    default:
      return { resolver: "resolv.conf", files: [], commands: [], notes: plainNotes(port) };
  }
}

/** From this version on systemd-resolved has delegates: servers that it asks for their own names, and for nothing else. */
const delegatesSince = 258;

function resolvedRecipe(port: number, systemdVersion: number): Recipe {
  const server = `DNS=${dnsHost}:${port}\n`;
  const delegates = systemdVersion >= delegatesSince;
  return {
    resolver: "systemd-resolved",
    files: [
      delegates
        ? { path: "/etc/systemd/dns-delegate.d/banger.dns-delegate", content: `[Delegate]\n${server}Domains=vm\n` }
        : { path: "/etc/systemd/resolved.conf.d/banger.conf", content: `[Resolve]\n${server}Domains=~vm\n` },
    ],
    commands: [["systemctl", "restart", "systemd-resolved"]],
    notes: delegates
      ? []
      : [
          "a port behind an address needs systemd 246 or later",
          "resolved may ask this server for other names, too: it refuses them, and the others' answers count",
        ],
  };
}

function plainNotes(port: number): string[] {
  const first = "resolv.conf cannot name a port, so either let dnsmasq stand in between, or answer on port 53:";
  const steps = [
    "1. sudo sysctl net.ipv4.ip_unprivileged_port_start=53",
    '2. "port = 53" below [dns] in config.toml, then: banger daemon stop',
    '3. the line "nameserver 127.0.0.1" above the others in /etc/resolv.conf; what banger refuses, the next one is asked',
  ];
  return [first, ...(port === 53 ? steps.slice(2) : steps)];
}

function quietly<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch {
    return otherwise;
  }
}
