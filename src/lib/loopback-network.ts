// Addresses of the host's loopback, 127.0.0.0/8: a part of it from which single ones are given away.

export interface LoopbackNetwork {
  /** As a number. */
  first: number;
  size: number;
}

/** "127.77.0.0/16", with 8 to 30 bits; undefined when it is not a network of 127.0.0.0/8. */
export function parseLoopbackNetwork(text: string): LoopbackNetwork | undefined {
  const parts = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined) return undefined;
  const [a = 0, b = 0, c = 0, bits = 0] = parts;
  const size = 2 ** (32 - bits);
  const first = 127 * 2 ** 24 + a * 2 ** 16 + b * 2 ** 8 + c;
  return Math.max(a, b, c) <= 255 && bits >= 8 && bits <= 30 && first % size === 0 ? { first, size } : undefined;
}

/** 127.0.0.1 is everybody's, and ends of a network are taken for the network itself by some programs. */
const reserved = [0x7f000000, 0x7f000001, 0x7fffffff];

/** The first address that is not taken, counted from `start` (any whole number) on and around; undefined when all are. */
export function freeAddress(
  { first, size }: LoopbackNetwork,
  start: number,
  taken: ReadonlySet<string>,
): string | undefined {
  const usable = size - 2;
  for (let step = 0; step < Math.min(usable, taken.size + reserved.length + 1); step++) {
    const number = first + 1 + ((start + step) % usable);
    const address = [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join(".");
    if (!reserved.includes(number) && !taken.has(address)) return address;
  }
  return undefined;
}
