// Reads docker's own configuration for credentials: ~/.docker/config.json, or the one in $DOCKER_CONFIG. Never writes it.
import { open } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "../lib/errors.ts";
import type { Credential, FoundCredential } from "./credential.ts";
import { askHelper } from "./credential-helper.ts";
import { dockerHub, parseRegistry } from "./reference.ts";

interface DockerConfig {
  auths: Record<string, unknown>;
  credHelpers: Record<string, unknown>;
  credsStore: string | undefined;
}

const longestFileBytes = 1024 * 1024;
/** What docker calls Docker Hub in its file and to helpers. */
const dockerHubKey = "https://index.docker.io/v1/";

/** Where docker keeps its configuration; undefined when the environment names no home. */
export function dockerConfigFile(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const directory = env["DOCKER_CONFIG"];
  if (directory !== undefined && directory !== "") return join(directory, "config.json");
  const home = env["HOME"];
  return home === undefined || home === "" ? undefined : join(home, ".docker", "config.json");
}

/**
 * What docker has stored for a registry: from the registry's helper, the helper of all, or the file itself. Errors:
 * `config.unreadable`, `config.invalid`, `command.failed` of a helper.
 */
export async function findInDockerConfig(
  path: string,
  registry: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<FoundCredential | undefined> {
  const config = await readConfig(path);
  if (config === undefined) return undefined;
  const helper = entryOf(config.credHelpers, registry) ?? config.credsStore;
  if (typeof helper === "string" && helper !== "") {
    const server = registry === dockerHub ? dockerHubKey : registry;
    const credential = await askHelper(helper, server, env, signal);
    return credential === undefined ? undefined : { credential, origin: `the credential helper "${helper}"` };
  }
  const entry = entryOf(config.auths, registry);
  if (entry === undefined) return undefined;
  const credential = parseEntry(entry);
  if (credential === "broken") throw invalid(path, `the entry of "${registry}" cannot be read`);
  return credential === undefined ? undefined : { credential, origin: `"${path}"` };
}

async function readConfig(path: string): Promise<DockerConfig | undefined> {
  let text: string;
  try {
    await using file = await open(path, "r");
    const buffer = Buffer.alloc(longestFileBytes + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > longestFileBytes) throw invalid(path, "it is too long");
    text = buffer.toString("utf8", 0, bytesRead);
  } catch (error) {
    if (error instanceof BangerError) throw error;
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw new BangerError("config.unreadable", `cannot read "${path}"`, { cause: error });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Without the parser's message: it quotes the text.
    throw invalid(path, "it is not JSON");
  }
  const { auths, credHelpers, credsStore } = asRecord(parsed);
  return {
    auths: asRecord(auths),
    credHelpers: asRecord(credHelpers),
    credsStore: typeof credsStore === "string" ? credsStore : undefined,
  };
}

/** The entry whose key means the registry: "host", "https://host", "https://host/v1/" and the like. */
function entryOf(entries: Record<string, unknown>, registry: string): unknown {
  if (Object.hasOwn(entries, registry)) return entries[registry];
  const key = Object.keys(entries).find((name) => {
    const host = name.replace(/^https?:\/\//i, "").replace(/\/(?:v[12]\/?)?$/i, "");
    try {
      return parseRegistry(host) === registry;
    } catch {
      return false;
    }
  });
  return key === undefined ? undefined : entries[key];
}

function parseEntry(entry: unknown): Credential | undefined | "broken" {
  const { auth, username, password, identitytoken, registrytoken } = asRecord(entry);
  const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
  if (isText(registrytoken))
    return /^[\x21-\x7e]+$/.test(registrytoken) ? { kind: "bearer", token: registrytoken } : "broken";
  if (isText(identitytoken)) return { kind: "identity", token: identitytoken };
  if (isText(auth)) {
    const decoded = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
    const colon = decoded.indexOf(":");
    return colon <= 0
      ? "broken"
      : { kind: "password", username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
  }
  // Logins whose secret is in a helper leave an empty entry.
  return isText(username) && isText(password) ? { kind: "password", username, password } : undefined;
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function invalid(path: string, why: string): BangerError {
  return new BangerError("config.invalid", `"${path}" cannot be used: ${why}`);
}
