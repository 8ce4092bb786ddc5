// Paths below a directory whose names come from somebody else: bytes, as Linux has them, not text.

/** The path of an entry of a directory. */
export function below(directory: string | Buffer, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(directory), Buffer.from("/"), name]);
}
