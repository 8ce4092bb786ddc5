// Gives memory back at once. A layer passes through gigabytes of buffers: left to the garbage collector, each costs its page
// faults, and all together a full collection for every few dozen of them.

/** Buffers up to this size may be pieces of a pool. */
const leastBytes = 128 * 1024;

/**
 * Frees the memory of a piece that nobody looks at any more, and of all that lies before it in the same memory. Only a piece
 * at the end of its memory does that: a decoder may still write behind one that is not. The piece is empty afterwards.
 */
export function discard(piece: Buffer): void {
  const { buffer, byteOffset, byteLength } = piece;
  if (buffer.byteLength < leastBytes || byteOffset + byteLength < buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** Frees the memory of a piece that has it for itself, and of which nobody else has a copy; others are left as they are. */
export function discardAlone(piece: Buffer): void {
  const { buffer, byteLength } = piece;
  if (byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
