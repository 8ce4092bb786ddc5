// The rule that allows what a record of a network says was used. Pure.
import type { NetworkRecord } from "../api/network-records.ts";

type Used = Pick<NetworkRecord, "event" | "name" | "address" | "port" | "protocol">;

/** Connections that began, and those that were allowed and failed: what is only looked up needs no rule of its own. */
export function isRuleOfUse({ event, protocol }: Pick<Used, "event" | "protocol">): boolean {
  return (event === "opened" || event === "failed") && protocol !== "dns";
}

/** "api.example.com:443", "203.0.113.7:53/udp"; ports of the host as "host.vm:5432". */
export function ruleOfUse({ name, address, port, protocol }: Omit<Used, "event">): string {
  const bare = name === "" ? address : name;
  const host = bare.includes(":") ? `[${bare}]` : bare;
  if (protocol === "icmp") return `${host}/icmp`;
  return protocol === "udp" ? `${host}:${port}/udp` : `${host}:${port}`;
}
