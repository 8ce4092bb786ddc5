// The registry server of Debian (package docker-registry) on a free port of loopback.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export interface RealRegistry extends AsyncDisposable {
  /** "127.0.0.1:<port>" */
  host: string;
}

export interface RealRegistryOptions {
  /** Lines of an htpasswd file: only these users get in. */
  htpasswd?: string;
  /** Tokens of this server are wanted. */
  token?: { realm: string; service: string; issuer: string; rootcertbundle: string };
  /** Files of a certificate and its key: the server speaks TLS only. */
  tls?: { cert: string; key: string };
  /** A directory with a store, which stays. Default: an empty one, which goes with the server. */
  store?: string;
}

const startTimeoutMs = 30_000;

/** Starts it; disposing ends the process and removes its directory. */
export async function startRegistry(options: RealRegistryOptions = {}): Promise<RealRegistry> {
  const dir = await mkdtemp(join(tmpdir(), "banger-docker-registry-"));
  const host = `127.0.0.1:${await freePort()}`;
  const config = {
    version: 0.1,
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: options.store ?? join(dir, "store") } },
    http: {
      addr: host,
      ...(options.tls === undefined ? {} : { tls: { certificate: options.tls.cert, key: options.tls.key } }),
    },
    ...authorization(options, dir),
  };
  await writeFile(join(dir, "htpasswd"), options.htpasswd ?? "");
  // JSON is YAML too.
  await writeFile(join(dir, "config.yml"), JSON.stringify(config));
  const child = spawn("docker-registry", ["serve", join(dir, "config.yml")], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const keep = (text: Buffer) => (output = (output + text.toString()).slice(-4000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  child.on("error", (error) => (output += error.message));
  const dispose = async () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
    await rm(dir, { recursive: true, force: true });
  };
  const end = Date.now() + startTimeoutMs;
  const scheme = options.tls === undefined ? "http" : "https";
  for (;;) {
    // Any answer will do, also a certificate that is not trusted.
    const answered = await fetch(`${scheme}://${host}/v2/`).then(
      () => true,
      (error: Error) => /CERT|SELF_SIGNED|VERIFY/.test((error.cause as NodeJS.ErrnoException | undefined)?.code ?? ""),
    );
    if (answered) return { host, [Symbol.asyncDispose]: dispose };
    if (child.pid === undefined || child.exitCode !== null || Date.now() > end) {
      await dispose();
      throw new Error(`waited for docker-registry to answer on ${host}: ${output}`);
    }
    await delay(20);
  }
}

function authorization({ htpasswd, token }: RealRegistryOptions, dir: string): object {
  if (token !== undefined) return { auth: { token } };
  return htpasswd === undefined ? {} : { auth: { htpasswd: { realm: "test", path: join(dir, "htpasswd") } } };
}

/** A port that was free a moment ago. The server takes none by itself that it would tell. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
