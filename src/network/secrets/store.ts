// The secrets of one home: values that guests use without having them, in a file that only its owner can read. One writer at a time.
import { randomBytes } from "node:crypto";
import { lstatSync, readFileSync } from "node:fs";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { writeFileAtomic } from "../../lib/files.ts";
import { KeyedMutex } from "../../lib/mutex.ts";
import { parseNetworkRule } from "../../lib/network-rule.ts";
import { run } from "../../lib/run.ts";

export interface StoredSecret {
  name: string;
  /** Names, or "*.name": only requests to them get the value. */
  hosts: string[];
  /** In which it stands; empty: in any. */
  headers: string[];
  /** Variable of the guest's environment that holds the placeholder; null: none. */
  env: string | null;
  /** What the guest has in its place. The same as long as the secret is there. */
  placeholder: string;
  /** One of the two. */
  value: string | null;
  /** Prints the value. */
  command: string[] | null;
  createdAt: number;
}

export type NewSecret = Pick<StoredSecret, "name" | "hosts" | "headers" | "env" | "value" | "command">;

const longestFileBytes = 1024 * 1024;
const maxValueBytes = 16 * 1024;
const commandTimeoutMs = 30_000;
const headerPattern = /^[A-Za-z0-9-]{1,64}$/;

export class SecretStore {
  readonly #file: string;
  readonly #writers = new KeyedMutex();

  constructor(file: string) {
    this.#file = file;
  }

  /** By name. */
  list(): StoredSecret[] {
    return [...this.#read().values()].toSorted((a, b) => a.name.localeCompare(b.name));
  }

  /** Throws `secret.not-found`. */
  get(name: string): StoredSecret {
    const found = this.#read().get(name);
    if (found !== undefined) return found;
    throw new BangerError("secret.not-found", `there is no secret "${name}"`, { hint: "banger secret list" });
  }

  /** Throws `secret.invalid` for what cannot be one, and `secret.failed` when its command gives nothing. */
  async verify(secret: NewSecret, options: { signal: AbortSignal }): Promise<void> {
    check(secret);
    await this.valueOf(secret, options);
  }

  /** Makes or replaces one; a VM that has its placeholder keeps it. Throws `secret.invalid`. */
  async set(secret: NewSecret, options: { signal: AbortSignal }): Promise<StoredSecret> {
    check(secret);
    using _lock = await this.#writers.acquire("file", options.signal);
    const all = this.#read();
    const before = all.get(secret.name);
    const placeholder = before?.placeholder ?? `banger-${secret.name}-${randomBytes(16).toString("hex")}`;
    const stored = { ...secret, placeholder, createdAt: before?.createdAt ?? Date.now() };
    all.set(secret.name, stored);
    await this.#write(all);
    return stored;
  }

  /** Throws `secret.not-found`. */
  async remove(name: string, options: { signal: AbortSignal }): Promise<void> {
    using _lock = await this.#writers.acquire("file", options.signal);
    this.get(name);
    const all = this.#read();
    all.delete(name);
    await this.#write(all);
  }

  /** The value now; a command is run for it. Throws `secret.failed`, without anything that the command printed. */
  async valueOf({ name, value, command }: NewSecret, options: { signal: AbortSignal }): Promise<string> {
    if (command === null) return value ?? "";
    const [file = "", ...args] = command;
    try {
      const limits = { timeoutMs: commandTimeoutMs, maxOutputBytes: maxValueBytes, signal: options.signal };
      const printed = (await run({ file, args, ...limits })).stdout.toString("utf8").replace(/\r?\n$/, "");
      if (!isValue(printed)) throw new BangerError("secret.failed", "it printed nothing that could be one");
      return printed;
    } catch (error) {
      options.signal.throwIfAborted();
      const { code, details } = toBangerError(error);
      const exit = details?.["exitCode"];
      const why = typeof exit === "number" ? `exit code ${exit}` : code;
      throw new BangerError("secret.failed", `the command for secret "${name}" gave no value (${why})`, {
        hint: `banger secret list  # shows its command: run it by hand`,
      });
    }
  }

  #read(): Map<string, StoredSecret> {
    const info = lstatSync(this.#file, { throwIfNoEntry: false });
    if (info === undefined) return new Map();
    if (!info.isFile() || (info.mode & 0o077) !== 0 || info.size > longestFileBytes) {
      throw new BangerError("config.invalid", `"${this.#file}" must be a file that only you may read`, {
        hint: `chmod 600 ${this.#file}`,
      });
    }
    try {
      const { version, secrets } = JSON.parse(readFileSync(this.#file, "utf8")) as {
        version: 1;
        secrets: StoredSecret[];
      };
      if (version === 1) return new Map(secrets.map((secret) => [secret.name, secret]));
    } catch {
      // The parser's message quotes the text, which holds values.
    }
    throw new BangerError("config.invalid", `"${this.#file}" is not in the form that this version writes`);
  }

  async #write(all: ReadonlyMap<string, StoredSecret>): Promise<void> {
    await writeFileAtomic(this.#file, `${JSON.stringify({ version: 1, secrets: [...all.values()] })}\n`);
  }
}

function check({ name, hosts, headers, env, value, command }: NewSecret): void {
  const invalid = (why: string) =>
    new BangerError("secret.invalid", `secret "${name}": ${why}`, { hint: "banger secret set --help" });
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) throw invalid("a name is of a-z, 0-9 and -");
  if (hosts.length === 0) throw invalid("it needs a host to be for");
  for (const host of hosts) {
    const { target, firstPort, protocol } = parseNetworkRule(host, "--host");
    if (target === "*" || firstPort !== 0 || protocol !== "any" || /^[\d.]+$|[:/]/.test(target)) {
      throw invalid(`"${host}" is no host: a name, or *.name`);
    }
  }
  for (const header of headers) if (!headerPattern.test(header)) throw invalid(`"${header}" is no header`);
  if (env !== null && !/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(env)) throw invalid(`"${env}" is no variable`);
  if (command === null && !isValue(value ?? ""))
    throw invalid("its value is empty, too long, or has control characters");
  if (command?.length === 0) throw invalid("its command is empty");
}

/** What can stand in a header. */
function isValue(text: string): boolean {
  return text !== "" && Buffer.byteLength(text) <= maxValueBytes && /^[\x20-\x7e]*$/.test(text);
}
