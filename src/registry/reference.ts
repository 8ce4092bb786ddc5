// Names of images in registries: "alpine", "ghcr.io/owner/app:1.2", "host:5000/app@sha256:…", and what they stand for.
import { isIPv4, isIPv6 } from "node:net";
import { BangerError } from "../lib/errors.ts";
import { isDigest } from "./digest.ts";

export interface ImageReference {
  /** Host as users write it, lower case, with a port when one was given: "docker.io", "localhost:5000", "[::1]:5000". */
  registry: string;
  /** Path below the host: "library/alpine". */
  repository: string;
  tag?: string;
  /** When there is one, it decides; the tag is only shown. */
  digest?: string;
}

/** The name of Docker Hub; short names are below it. */
export const dockerHub = "docker.io";
const dockerHubAliases = new Set([dockerHub, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

const longestText = 4096;
const longestName = 255;
const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const hostLabel = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Takes the name of an image apart. Short names are of Docker Hub, and those of one word there below "library".
 * Without tag and digest the tag is "latest". Throws `image.reference-invalid` with what is wrong and an example.
 */
export function parseReference(text: string): ImageReference {
  if (text === "") throw invalid(text, "it is empty");
  if (text.length > longestText) throw invalid(text, `it is longer than ${longestText} characters`);
  const unfit = /[^\x21-\x7e]/u.exec(text);
  if (unfit !== null) throw invalid(text, `character ${unfit.index + 1} cannot be in a name`);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) throw invalid(text, "it is a URL: leave out what is before the host");

  const [named = "", digest, ...more] = text.split("@");
  if (more.length > 0) throw invalid(text, `it has more than one "@"`);
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, digestProblem(digest));

  const slash = named.indexOf("/");
  const first = slash < 0 ? "" : named.slice(0, slash);
  const hasHost = /[.:[]/.test(first) || first === "localhost";
  const registry = hasHost ? normalizeHost(first, (why) => invalid(text, why)) : dockerHub;
  const rest = hasHost ? named.slice(slash + 1) : named;
  const colon = rest.lastIndexOf(":");
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw invalid(text, `the tag "${cut(tag)}" is not 1 to 128 letters, digits, "_", "." and "-"`);
  }
  checkPath(path, text);
  const repository = registry === dockerHub && !path.includes("/") ? `library/${path}` : path;
  if (registry.length + 1 + repository.length > longestName) {
    throw invalid(text, `host and path together are longer than ${longestName} characters`);
  }
  return {
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
    ...(tag === undefined && digest === undefined ? { tag: "latest" } : {}),
  };
}

/** The whole name, as `parseReference` takes it. */
export function formatReference({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** Host of a registry, normalized: lower case, aliases of Docker Hub as "docker.io". Throws `image.reference-invalid`. */
export function parseRegistry(text: string): string {
  const refuse = (why: string) => invalidRegistry(text, why);
  const unfit = /[^\x21-\x7e]/u.exec(text);
  if (unfit !== null) throw refuse(`character ${unfit.index + 1} cannot be in one`);
  return normalizeHost(text, refuse);
}

function normalizeHost(text: string, refuse: (why: string) => BangerError): string {
  const host = text.toLowerCase();
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(host);
  const [, name = "", port] = match ?? [];
  if (match === null || (port !== undefined && (Number(port) < 1 || Number(port) > 65_535))) {
    throw refuse(`"${cut(text)}" is not a host with a port of 1 to 65535`);
  }
  if (name.startsWith("[")) {
    if (!isIPv6(name.slice(1, -1)) || name.includes("%")) throw refuse(`"${cut(name)}" is not an IPv6 address`);
  } else {
    const labels = name.split(".");
    const isName = name.length <= 253 && labels.every((label) => hostLabel.test(label));
    // Of "127.1" and "0x7f.1" others make an address.
    const isNumber = /^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "");
    if (isNumber ? !isIPv4(name) : !isName) throw refuse(`"${cut(name)}" is not a host name`);
  }
  return dockerHubAliases.has(host) ? dockerHub : host;
}

/** Host and port that requests go to. */
export function endpointOf(registry: string): string {
  return registry === dockerHub ? "registry-1.docker.io" : registry;
}

function checkPath(path: string, text: string): void {
  if (path === "") throw invalid(text, "it has no name");
  for (const part of path.split("/")) {
    if (part === "") throw invalid(text, `"${cut(path)}" has an empty part`);
    if (component.test(part)) continue;
    throw invalid(
      text,
      /[A-Z]/.test(part)
        ? `"${cut(part)}" has upper-case letters`
        : `"${cut(part)}" is not lower-case letters and digits with single ".", "_", "__" or "-" between them`,
    );
  }
}

function digestProblem(digest: string): string {
  const [algorithm = "", hex] = digest.split(":");
  if (hex === undefined) return `"${cut(digest)}" after "@" is not a digest`;
  if (algorithm !== "sha256" && algorithm !== "sha512") return `the digest algorithm "${cut(algorithm)}" is not known`;
  return `a ${algorithm} digest has ${algorithm === "sha256" ? 64 : 128} lower-case hex digits`;
}

const cut = (text: string, most = 80) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** The error of a host that was given alone. */
function invalidRegistry(text: string, why: string): BangerError {
  const shown = cut(text.replaceAll(/[^\x20-\x7e]/gu, "?"));
  return new BangerError(
    "image.reference-invalid",
    `"${shown}" is not the address of a registry: ${why}; addresses look like ghcr.io or localhost:5000`,
    { hint: "banger registry login ghcr.io" },
  );
}

function invalid(text: string, why: string): BangerError {
  const shown = cut(text.replaceAll(/[^\x20-\x7e]/gu, "?"));
  return new BangerError(
    "image.reference-invalid",
    `"${shown}" is not the name of an image: ${why}; names look like alpine:3.20 or ghcr.io/owner/app:1.0`,
    { hint: "banger image pull alpine:3.20" },
  );
}
