// Paths of any bytes as text for people.

/** UTF-8 where it is, other bytes as `\xe9`. Control characters stay: whoever prints makes them harmless. */
export function showPath(path: Buffer): string {
  const text = path.toString("utf8");
  if (Buffer.from(text).equals(path)) return text;
  return [...path].map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`)).join("");
}
