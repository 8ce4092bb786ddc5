// The guest's own SSH host key: made on the host for each VM and given at Configure, so that its public half is known
// before the first connection and nothing has to be trusted on first use.
import { generateKeyPairSync } from "node:crypto";

export interface HostKey {
  /** PKCS#8 PEM. Secret: stored in the 0600 database, sent to the guest, never logged. */
  privatePem: string;
  /** "ssh-ed25519 AAAA…", as in known_hosts and authorized_keys. */
  publicLine: string;
}

const ed25519 = "ssh-ed25519";
const rawKeyBytes = 32;

/** A new ed25519 key pair. */
export function generateHostKey(): HostKey {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-rawKeyBytes);
  const blob = Buffer.concat([lengthPrefixed(Buffer.from(ed25519)), lengthPrefixed(raw)]);
  return {
    privatePem: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    publicLine: `${ed25519} ${blob.toString("base64")}`,
  };
}

function lengthPrefixed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
