// Which of the manifests of an index is for this machine, or for the one that was asked for.
import { BangerError } from "../../lib/errors.ts";
import type { IndexEntry, Platform } from "./manifest.ts";
import { pasteable, printable } from "./manifest.ts";

const architectureNames: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  x86_64: "amd64",
  aarch64: "arm64",
  loong64: "loong64",
};

/** The platform of this host. */
export function hostPlatform(): Platform {
  return { os: "linux", architecture: architectureNames[process.arch] ?? process.arch };
}

/** Parses "linux/arm64", "linux/arm/v7" or an architecture alone. Throws `request.invalid`. */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  const [os, architecture, variant] = parts.length === 1 ? ["linux", parts[0]] : parts;
  const isWord = (word: string | undefined) => word !== undefined && /^[a-z0-9_.-]{1,32}$/.test(word);
  if (parts.length > 3 || os !== "linux" || !isWord(architecture) || (parts.length === 3 && !isWord(variant))) {
    throw new BangerError(
      "request.invalid",
      `platform "${printable(text)}" is not valid: write linux/<architecture> or linux/<architecture>/<variant>`,
      { hint: "--platform linux/arm64" },
    );
  }
  const name = architecture as string;
  return { os, architecture: architectureNames[name] ?? name, ...(variant === undefined ? {} : { variant }) };
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined || variant === "" ? [] : [variant])].join("/");
}

/**
 * How well a platform serves the wanted one: 0 not at all, more is better. Of 32-bit ARM an older variant runs on a newer one;
 * for others a variant must be the one that was asked for, or the basic one.
 */
export function fitness(offered: Platform, wanted: Platform): number {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return 0;
  const base = wanted.architecture === "arm" ? "v7" : wanted.architecture === "arm64" ? "v8" : "v1";
  const asked = wanted.variant ?? base;
  const has = offered.variant === undefined || offered.variant === "" ? undefined : offered.variant;
  if (has === asked) return 100;
  if (has === undefined) return 90;
  const level = (variant: string) => (/^v\d{1,2}$/.test(variant) ? Number(variant.slice(1)) : undefined);
  const [offeredLevel, askedLevel] = [level(has), level(asked)];
  if (offeredLevel === undefined || askedLevel === undefined || offeredLevel > askedLevel) return 0;
  return 50 + offeredLevel;
}

/**
 * The best manifest of an index for a platform. Throws `image.not-found` with the platforms that there are; `again` is the command that
 * can be repeated with one of them.
 */
export function choose(
  entries: readonly IndexEntry[],
  wanted: Platform,
  shown: string,
  again = "repeat with",
): IndexEntry {
  let best: { entry: IndexEntry; score: number } | undefined;
  for (const entry of entries) {
    const score = entry.platform === undefined ? 0 : fitness(entry.platform, wanted);
    if (score > (best?.score ?? 0)) best = { entry, score };
  }
  if (best !== undefined) return best.entry;
  const [only] = entries;
  if (only !== undefined && entries.length === 1 && only.platform === undefined) return only;
  const have = entries
    .flatMap(({ platform }) => (platform === undefined || platform.os === "unknown" ? [] : [formatPlatform(platform)]))
    .slice(0, 20)
    .map(printable);
  const offered = pasteable(have);
  throw new BangerError(
    "image.not-found",
    `"${shown}" has no image for ${formatPlatform(wanted)}: it has ${have.length === 0 ? "none that say for which machine" : have.join(", ")}`,
    offered === undefined
      ? {}
      : {
          hint: `${again} --platform ${offered}  # to have it here: programs of other machines do not run on this one`,
        },
  );
}
