// Secrets for VMs: what their environment holds instead, what banger-netd is told, and whom their guests trust.
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { SecretsSchema } from "../gen/banger/netd/v1/netd_pb.js";
import { ensureAuthority } from "./authority.ts";
import { SecretStore } from "./store.ts";

/** The part of a guest's agent that this needs. */
export interface GuestFiles {
  readFile(path: string, options: { signal: AbortSignal }): Promise<Readable>;
  writeFile(path: string, content: Readable, options: { signal: AbortSignal; mode?: number }): Promise<void>;
}

/** Where distributions keep the authorities that everybody trusts; the first one is made when none is there. */
const bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];
const authorityFile = "/etc/banger-ca.pem";
const maxBundleBytes = 4 * 1024 * 1024;

export class Secrets {
  readonly store: SecretStore;
  readonly #authorityDir: string;

  constructor(options: { file: string; authorityDir: string }) {
    this.store = new SecretStore(options.file);
    this.#authorityDir = options.authorityDir;
  }

  /** Rules for the hosts of these. Throws `secret.not-found`. */
  rulesFor(names: readonly string[]): string[] {
    return names.flatMap((name) => this.store.get(name).hosts.map((host) => `${host}:443`));
  }

  /** Whether the values of all of them are in the file, so that no command has to be run. */
  areStored(names: readonly string[]): boolean {
    return names.length > 0 && names.every((name) => this.store.get(name).command === null);
  }

  /** "NAME=value" for a guest: placeholders, and what makes programs trust the authority that do not look at the system's bundle. */
  environmentFor(names: readonly string[]): string[] {
    if (names.length === 0) return [];
    const [bundle = ""] = bundles;
    const own = names
      .map((name) => this.store.get(name))
      .flatMap(({ env, placeholder }) => (env === null ? [] : [`${env}=${placeholder}`]));
    return [...own, `NODE_EXTRA_CA_CERTS=${authorityFile}`, `REQUESTS_CA_BUNDLE=${bundle}`, `PIP_CERT=${bundle}`];
  }

  /** In the words of banger-netd; undefined for none. Throws `secret.not-found`, `secret.failed`. */
  async messageFor(
    names: readonly string[],
    options: { signal: AbortSignal },
  ): Promise<MessageInitShape<typeof SecretsSchema> | undefined> {
    if (names.length === 0) return undefined;
    const { certificate, key } = await ensureAuthority(this.#authorityDir);
    const secrets = await Promise.all(
      names.map(async (name) => {
        const secret = this.store.get(name);
        const value = Buffer.from(await this.store.valueOf(secret, options));
        return { name, placeholder: secret.placeholder, value, hosts: secret.hosts, headers: secret.headers };
      }),
    );
    return { secrets, caCertificatePem: Buffer.from(certificate), caKeyPem: Buffer.from(key) };
  }

  /** Makes a configured guest trust the authority. Idempotent. Throws what the guest answers. */
  async trust(guest: GuestFiles, options: { signal: AbortSignal }): Promise<void> {
    const { certificate } = await ensureAuthority(this.#authorityDir);
    const content = await Promise.all(bundles.map((path) => readBundle(guest, path, options)));
    const known = content.find((one) => one !== undefined) ?? "";
    const write = (path: string, pem: string) =>
      guest.writeFile(path, Readable.from([pem]), { ...options, mode: 0o644 });
    await write(authorityFile, certificate);
    await Promise.all(
      bundles.map(async (path, at) => {
        const now = content[at] ?? (at === 0 ? known : undefined);
        if (now === undefined || now.includes(certificate)) return;
        await write(path, `${now.trimEnd()}\n${certificate}`.trimStart()).catch((error: unknown) => {
          // An image without the directory has no programs that look there.
          if (content[at] !== undefined || toBangerError(error).code !== "file.not-found") throw error;
        });
      }),
    );
  }
}

/** Undefined when it is not there. */
async function readBundle(
  guest: GuestFiles,
  path: string,
  options: { signal: AbortSignal },
): Promise<string | undefined> {
  try {
    const stream = await guest.readFile(path, options);
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBundleBytes) stream.destroy(new BangerError("file.failed", `"${path}" in the guest is too large`));
    });
    return await text(stream);
  } catch (error) {
    if (toBangerError(error).code === "file.not-found") return undefined;
    throw error;
  }
}
