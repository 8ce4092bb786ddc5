// Which part of the world an IP address belongs to. Decides where a registry may send its client.
import { isIPv4 } from "node:net";

/** "never" is for addresses that no server can have: unspecified, multicast, reserved, documentation. */
export type AddressKind = "public" | "private" | "loopback" | "link-local" | "never";

const kinds4: readonly (readonly [network: string, bits: number, kind: AddressKind])[] = [
  ["0.0.0.0", 8, "never"],
  ["10.0.0.0", 8, "private"],
  ["100.64.0.0", 10, "private"],
  ["127.0.0.0", 8, "loopback"],
  ["169.254.0.0", 16, "link-local"],
  ["172.16.0.0", 12, "private"],
  ["192.0.0.0", 24, "never"],
  ["192.0.2.0", 24, "never"],
  ["192.168.0.0", 16, "private"],
  ["198.18.0.0", 15, "private"],
  ["198.51.100.0", 24, "never"],
  ["203.0.113.0", 24, "never"],
  ["224.0.0.0", 3, "never"],
];

const kinds6: readonly (readonly [network: string, bits: number, kind: AddressKind])[] = [
  ["::1", 128, "loopback"],
  ["::", 96, "never"],
  ["100::", 64, "never"],
  ["2001:db8::", 32, "never"],
  ["fc00::", 7, "private"],
  ["fe80::", 10, "link-local"],
  ["fec0::", 10, "private"],
  ["ff00::", 8, "never"],
];

/** Networks whose addresses carry an IPv4 address, and at which byte. */
const carriers: readonly (readonly [network: string, bits: number, at: number])[] = [
  ["::ffff:0:0", 96, 12],
  ["64:ff9b::", 96, 12],
  ["2002::", 16, 2],
];

/** Kind of an IP address in text form (without brackets). What is no address is "never". */
export function addressKind(address: string): AddressKind {
  const bytes = isIPv4(address) ? bytes4(address) : bytes6(address);
  if (bytes === undefined) return "never";
  if (bytes.length === 4) return lookUp(bytes, kinds4, bytes4);
  const carrier = carriers.find(([network, bits]) => within(bytes, bytes6(network) ?? [], bits));
  if (carrier !== undefined) return lookUp(bytes.slice(carrier[2], carrier[2] + 4), kinds4, bytes4);
  return lookUp(bytes, kinds6, (network) => bytes6(network) ?? []);
}

function lookUp(bytes: readonly number[], table: typeof kinds4, parse: (text: string) => number[]): AddressKind {
  return table.find(([network, bits]) => within(bytes, parse(network), bits))?.[2] ?? "public";
}

function within(bytes: readonly number[], network: readonly number[], bits: number): boolean {
  return network.every((byte, index) => {
    const fixed = Math.min(8, Math.max(0, bits - index * 8));
    const mask = (0xff << (8 - fixed)) & 0xff;
    return ((bytes[index] ?? 0) & mask) === (byte & mask);
  });
}

const bytes4 = (address: string): number[] => address.split(".").map(Number);

function bytes6(address: string): number[] | undefined {
  let text: string;
  try {
    // The URL parser writes every form of an address in the same way, without dotted parts. A zone is not part of it.
    text = new URL(`http://[${address.split("%")[0]}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
  const [left = "", right] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const [head, tail] = [groups(left), groups(right ?? "")];
  const zeros = Array.from({ length: right === undefined ? 0 : 8 - head.length - tail.length }, () => "0");
  return [...head, ...zeros, ...tail].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
