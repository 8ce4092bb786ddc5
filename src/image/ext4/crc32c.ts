// CRC-32C as ext4 uses it: the running value goes in and comes out as it is, without a final inversion.

const slices = 8;
const tables = makeTables();

function makeTables(): Uint32Array {
  const made = new Uint32Array(slices * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    made[byte] = value;
  }
  for (let at = 256; at < made.length; at++) {
    const before = made[at - 256] ?? 0;
    made[at] = (before >>> 8) ^ (made[before & 0xff] ?? 0);
  }
  return made;
}

/** `crc` is 0xffffffff at the start, or what an earlier call returned for the bytes before. */
export function crc32c(crc: number, data: Uint8Array, start = 0, end = data.length): number {
  const t = tables;
  let value = crc | 0;
  let at = start;
  for (const last = end - 7; at < last; at += 8) {
    value ^= (data[at] ?? 0) | ((data[at + 1] ?? 0) << 8) | ((data[at + 2] ?? 0) << 16) | ((data[at + 3] ?? 0) << 24);
    value =
      (t[1792 + (value & 0xff)] ?? 0) ^
      (t[1536 + ((value >>> 8) & 0xff)] ?? 0) ^
      (t[1280 + ((value >>> 16) & 0xff)] ?? 0) ^
      (t[1024 + (value >>> 24)] ?? 0) ^
      (t[768 + (data[at + 4] ?? 0)] ?? 0) ^
      (t[512 + (data[at + 5] ?? 0)] ?? 0) ^
      (t[256 + (data[at + 6] ?? 0)] ?? 0) ^
      (t[data[at + 7] ?? 0] ?? 0);
  }
  for (; at < end; at++) value = (value >>> 8) ^ (t[(value ^ (data[at] ?? 0)) & 0xff] ?? 0);
  return value >>> 0;
}

/** The same for a 32-bit number in little-endian order. */
export function crc32cOfNumber(crc: number, value: number): number {
  return crc32c(crc, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
}
