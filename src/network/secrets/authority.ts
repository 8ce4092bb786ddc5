// The certificate authority of one installation: guests with secrets trust it, and nobody else is asked to. Made once, written by hand in
// DER, as Node can make keys and signatures but no certificates.
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureDirectory, writeFileAtomic } from "../../lib/files.ts";

export interface Authority {
  /** PEM. Public. */
  certificate: string;
  /** PEM. Secret. */
  key: string;
}

const dayMs = 86_400_000;
const lifeDays = 3650;
/** Clocks of guests may be behind. */
const behindDays = 2;
/** A new one is made when less than this is left. */
const leastDays = 90;

/** The authority that lies in `directory`, 0700, made when it is missing, broken or about to end. */
export async function ensureAuthority(directory: string): Promise<Authority> {
  const files = { certificate: join(directory, "ca.pem"), key: join(directory, "ca-key.pem") };
  try {
    const [certificate, key] = await Promise.all([readFile(files.certificate, "utf8"), readFile(files.key, "utf8")]);
    if (isUsable({ certificate, key })) return { certificate, key };
  } catch {
    // Missing, or of no use: made anew.
  }
  const made = makeAuthority(Date.now());
  await ensureDirectory(directory);
  await writeFileAtomic(files.key, made.key);
  await writeFileAtomic(files.certificate, made.certificate);
  return made;
}

function isUsable({ certificate, key }: Authority): boolean {
  const parsed = new X509Certificate(certificate);
  const leftMs = Date.parse(parsed.validTo) - Date.now();
  return parsed.ca && parsed.checkPrivateKey(createPrivateKey(key)) && leftMs > leastDays * dayMs;
}

/** A new one, valid around `nowMs`. */
export function makeAuthority(nowMs: number): Authority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const body = toBeSigned(publicKey, nowMs);
  const signature = sign("sha256", body, privateKey);
  const certificate = sequence(body, ecdsaWithSha256, tagged(0x03, Buffer.from([0]), signature));
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    certificate: ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n"),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function toBeSigned(publicKey: KeyObject, nowMs: number): Buffer {
  const spki = publicKey.export({ type: "spki", format: "der" });
  const keyId = createHash("sha256").update(spki).digest().subarray(0, 20);
  // Two authorities of one name would be taken for one another.
  const name = sequence(tagged(0x31, sequence(oid("550403"), text(`banger ${keyId.toString("hex", 0, 6)}`))));
  const serial = randomBytes(16);
  // Positive, and not shortened.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    tagged(0x02, serial),
    ecdsaWithSha256,
    name,
    sequence(time(nowMs - behindDays * dayMs), time(nowMs + lifeDays * dayMs)),
    name,
    spki,
    tagged(
      0xa3,
      sequence(
        // Basic constraints, critical: an authority, of no further ones. Key usage, critical: signs certificates.
        sequence(oid("551d13"), yes, octets(sequence(yes, tagged(0x02, Buffer.from([0]))))),
        sequence(oid("551d0f"), yes, octets(tagged(0x03, Buffer.from([1, 0x06])))),
        sequence(oid("551d0e"), octets(octets(keyId))),
      ),
    ),
  );
}

/** One DER element: tag, length, content. */
function tagged(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts: readonly Buffer[]) => tagged(0x30, ...parts);
const octets = (...parts: readonly Buffer[]) => tagged(0x04, ...parts);
const oid = (hex: string) => tagged(0x06, Buffer.from(hex, "hex"));
const text = (value: string) => tagged(0x0c, Buffer.from(value));
/** Of a year before 2050, which has two digits. */
const time = (ms: number) =>
  tagged(
    0x17,
    Buffer.from(
      new Date(ms)
        .toISOString()
        .replaceAll(/[-:T]|\.\d+/g, "")
        .slice(2),
    ),
  );
const yes = tagged(0x01, Buffer.from([0xff]));
/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"));
