// The hash by which ext4 finds a name in a large directory: half MD4 over the name's bytes as unsigned numbers.

/** Number of the hash in the superblock and in the root of a directory's index. */
export const halfMd4 = 1;

export interface NameHash {
  /** Never odd: the lowest bit says "continued" in an index. */
  major: number;
  minor: number;
}

/** `seed`: four numbers of 32 bits, as the superblock has them. */
export function nameHash(name: Buffer, seed: Uint32Array): NameHash {
  const state = Uint32Array.from(seed);
  const input = new Uint32Array(8);
  for (let at = 0; at < name.length; at += 32) {
    fill(input, name, at);
    transform(state, input);
  }
  const major = ((state[1] ?? 0) & ~1) >>> 0;
  // The highest value marks the end of a directory.
  return { major: major === 0xffff_fffe ? 0xffff_fffc : major, minor: state[2] ?? 0 };
}

function fill(input: Uint32Array, name: Buffer, start: number): void {
  const left = name.length - start;
  const padding = (left | (left << 8) | (left << 16) | (left << 24)) >>> 0;
  const length = Math.min(left, 32);
  input.fill(padding);
  let value = padding;
  for (let index = 0; index < length; index++) {
    value = ((name[start + index] ?? 0) + (value << 8)) >>> 0;
    if (index % 4 === 3 || index === length - 1) input[index >> 2] = value;
    if (index % 4 === 3) value = padding;
  }
}

function transform(state: Uint32Array, x: Uint32Array): void {
  let a = state[0] ?? 0;
  let b = state[1] ?? 0;
  let c = state[2] ?? 0;
  let d = state[3] ?? 0;
  const rounds: [(x: number, y: number, z: number) => number, number, number[], number[]][] = [
    [(p, q, r) => r ^ (p & (q ^ r)), 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]],
    [(p, q, r) => (p & q) + ((p ^ q) & r), 0x5a827999, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]],
    [(p, q, r) => p ^ q ^ r, 0x6ed9eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]],
  ];
  for (const [mix, constant, order, shifts] of rounds) {
    order.forEach((word, step) => {
      const sum = (a + mix(b, c, d) + (x[word] ?? 0) + constant) | 0;
      const shift = shifts[step % 4] ?? 0;
      const turned = (sum << shift) | (sum >>> (32 - shift));
      [a, b, c, d] = [d, turned, b, c];
    });
  }
  state[0] = (state[0] ?? 0) + a;
  state[1] = (state[1] ?? 0) + b;
  state[2] = (state[2] ?? 0) + c;
  state[3] = (state[3] ?? 0) + d;
}
