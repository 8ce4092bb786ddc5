// Rules on where a VM may connect to, as people write them: "api.example.com:443", "*.debian.org", "10.0.0.0/8:5432",
// "[2001:db8::1]:53/udp", "git.corp.example:443+private". Pure.
import { isIP, isIPv4 } from "node:net";
import { BangerError } from "./errors.ts";

export interface NetworkRule {
  /** A name, "*.name", "*", an address, or a range in CIDR form; lower case. */
  target: string;
  /** 0: every port. */
  firstPort: number;
  /** 0: `firstPort` only. */
  lastPort: number;
  protocol: "any" | "tcp" | "udp" | "icmp";
  /** Of a name: private addresses of it, too. */
  privateAddresses: boolean;
}

const maxRuleLength = 300;
const label = String.raw`[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?`;
const namePattern = new RegExp(String.raw`^(?:\*\.)?${label}(?:\.${label})*$`);

/** Throws `network.policy-invalid`, which names the rule and what is wrong with it. `option` is where it was given: "--allow". */
export function parseNetworkRule(text: string, option: string): NetworkRule {
  const invalid = (why: string) =>
    new BangerError("network.policy-invalid", `${option} "${text}" is no rule: ${why}`, {
      hint: `${option} api.example.com:443  # or *.example.com, 203.0.113.7, 10.0.0.0/8:5432, host:53/udp`,
    });
  if (text.length > maxRuleLength) throw invalid(`it is longer than ${maxRuleLength} characters`);
  if (text.includes("://")) throw invalid("a rule is a host with a port, not a URL");
  let rest = text.toLowerCase();
  const privateAddresses = rest.endsWith("+private");
  if (privateAddresses) rest = rest.slice(0, -"+private".length);
  const [, before = rest, protocol = "any"] = /^(.*)\/(tcp|udp|icmp)$/.exec(rest) ?? [];
  const { target: written, ports } = splitPorts(before);
  const target = written.endsWith(".") && written.length > 1 ? written.slice(0, -1) : written;
  const problem = problemOf(target);
  if (problem !== undefined) throw invalid(problem);
  if (option === "--allow" && isLoopback(target)) {
    throw new BangerError(
      "network.policy-invalid",
      `--allow "${text}" cannot be: this host's loopback is opened port by port, by --allow-host ${ports ?? "PORT"}`,
      { hint: `--allow-host ${ports ?? "PORT"}` },
    );
  }
  if (privateAddresses && isAddressOrRange(target)) throw invalid("+private is for names: an address says what it is");
  const [firstPort, lastPort] = ports === undefined ? [0, 0] : parsePorts(ports);
  if (firstPort === undefined || lastPort === undefined) throw invalid(`"${ports}" is no port or range of ports`);
  if (protocol === "icmp" && firstPort !== 0) throw invalid("ICMP has no ports");
  return { target, firstPort, lastPort, protocol: protocol as NetworkRule["protocol"], privateAddresses };
}

/** The target, and what stands behind its last colon; an IPv6 address with ports stands in brackets. */
function splitPorts(text: string): { target: string; ports: string | undefined } {
  const [, bracketed, , portsBehind] = /^\[([^\]]*)\](:(.*))?$/.exec(text) ?? [];
  if (bracketed !== undefined) return { target: bracketed, ports: portsBehind };
  const [address = ""] = text.split("/");
  const at = text.lastIndexOf(":");
  if (at === -1 || isIP(address) === 6) return { target: text, ports: undefined };
  return { target: text.slice(0, at), ports: text.slice(at + 1) };
}

function parsePorts(text: string): [number | undefined, number | undefined] {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  if (first === undefined) return [undefined, undefined];
  const [from, to] = [Number(first), Number(last ?? 0)];
  const fits = from >= 1 && from <= 65_535 && (last === undefined || (to >= from && to <= 65_535));
  return fits ? [from, to] : [undefined, undefined];
}

function isAddressOrRange(target: string): boolean {
  return isIP(target.split("/")[0] ?? "") !== 0;
}

function isLoopback(target: string): boolean {
  return (
    target === "::1" || target === "localhost" || (isIPv4(target.split("/")[0] ?? "") && target.startsWith("127."))
  );
}

function problemOf(target: string): string | undefined {
  if (target === "") return "it names nothing";
  if (target === "*") return undefined;
  const [address = "", bits, more] = target.split("/");
  const version = isIP(address);
  if (version !== 0) {
    if (address.includes("%")) return "an address has no zone here";
    if (bits === undefined) return undefined;
    const size = version === 4 ? 32 : 128;
    if (more !== undefined || !/^\d{1,3}$/.test(bits) || Number(bits) > size) return `a range has 0 to ${size} bits`;
    const network = networkOf(address, Number(bits));
    return network === undefined ? undefined : `the range that holds it is ${network}/${bits}`;
  }
  if (bits !== undefined) return `"${address}" is no address`;
  if (/^[\d.]+$/.test(target)) return "it looks like an address and is none";
  if (target.length > 253 || !namePattern.test(target)) return `"${target}" is no name, address or range`;
  return undefined;
}

/** The first address of the range, when that is another than the one written; undefined when it is that one. IPv4 only: the other form has many spellings. */
function networkOf(address: string, bits: number): string | undefined {
  if (!isIPv4(address)) return undefined;
  const value = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const blockSize = 2 ** (32 - bits);
  const first = Math.floor(value / blockSize) * blockSize;
  if (first === value) return undefined;
  return [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".");
}
