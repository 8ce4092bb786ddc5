// Policies and records of networks as people read them.
import type { NetworkPolicy, NetworkRecord, NetworkState, NetworkVerdict } from "../../api/network-records.ts";
import { formatBytes } from "../../lib/units.ts";

/** "balanced", "locked (ci)", "none"; with a mark when what carries it is gone. */
export function networkWord({ mode, name, state }: NetworkState): string {
  const word = name === null ? mode : `${mode} (${name})`;
  return state === "failed" ? `${word}, failed` : word;
}

/** A line for the mode and one for each rule. */
export function policyLines(policy: NetworkPolicy): string[] {
  return [
    `${policy.mode}${policy.name === null ? "" : `  (${policy.name})`}`,
    ...policy.allow.map((rule) => `allow ${rule}`),
    ...policy.deny.map((rule) => `deny  ${rule}`),
    ...policy.hostPorts.map((port) => `allow host.vm:${port}  (port ${port} of this host's 127.0.0.1)`),
    ...(policy.join === null ? [] : [`in ${policy.join.network} with other VMs, as ${policy.join.address}`]),
    ...policy.secrets.map((name) => `secret ${name}`),
  ];
}

/** One line. `vm` is the name for the command that would allow what was denied. */
export function recordLine(record: NetworkRecord, vm: string): string {
  const time = new Date(record.at).toISOString();
  const times = record.repeated > 1 ? ` (${record.repeated} times)` : "";
  switch (record.event) {
    case "missed":
      return `${time}  missed    ${record.missed} lines came too fast to be read`;
    case "resolved":
      return `${time}  resolved  ${record.name} ${record.question}: ${record.answers.join(", ") || "no address"}`;
    case "denied":
      return `${time}  denied    ${targetOf(record)}: ${whyNot(record.verdict)}${times}${remedy(record.verdict, vm)}`;
    case "failed":
      return `${time}  failed    ${targetOf(record)}: ${record.verdict.reason}${times}`;
    case "opened":
      return `${time}  opened    ${targetOf(record)}  by ${record.verdict.rule}`;
    case "closed":
    default:
      return `${time}  closed    ${targetOf(record)}  ${formatBytes(record.bytesUp)} up, ${formatBytes(record.bytesDown)} down, ${record.durationMs} ms`;
  }
}

/** "no-rule, by mode locked". */
export function whyNot({ reason, rule }: NetworkVerdict): string {
  return rule === "" ? reason : `${reason}, by ${rule}`;
}

/** "  # banger net policy box --allow api.example.com:443"; empty when no rule can. */
export function remedy({ suggestion }: NetworkVerdict, vm: string): string {
  return suggestion === "" ? "" : `  # banger net policy ${vm} ${suggestion}`;
}

function targetOf({ protocol, name, address, port, question }: NetworkRecord): string {
  if (protocol === "dns") return `name ${name}${question === "" ? "" : ` ${question}`}`;
  const host = address.includes(":") ? `[${address}]` : address;
  const place = protocol === "icmp" ? host : `${host}:${port}`;
  const what = protocol === "tcp" ? place : `${place}/${protocol}`;
  return name === "" ? what : `${name} ${what}`;
}
