// The catalog as it is listed: recipes, then images of registries.
import type * as v from "valibot";
import type { imageCatalogEntry } from "../../api/image-methods.ts";
import type { ArtifactRow } from "../../lib/artifact-store.ts";
import type { ImageRecipe } from "../catalog.ts";
import { hostArchitecture } from "../manifest.ts";
import { findPinned } from "./pull.ts";
import type { PinnedImage } from "./schema.ts";

/** `holderOf` says which image has a name. */
export function catalogEntries(
  recipes: readonly ImageRecipe[],
  pinned: readonly PinnedImage[],
  rows: readonly ArtifactRow[],
  holderOf: (name: string) => string | undefined,
): v.InferOutput<typeof imageCatalogEntry>[] {
  return [
    ...recipes.map(({ name, description, architecture }) => ({
      ...{ name, description, architecture, present: holderOf(name) !== undefined },
      ...{ from: "packages" as const, reference: null, digest: null, downloadBytes: null },
    })),
    ...pinned.map(({ name, description, reference, digest, platforms, downloadBytes }) => {
      const host = `linux/${hostArchitecture}`;
      const platform = platforms === undefined || platforms.includes(host) ? host : (platforms[0] ?? host);
      const architecture = platform.slice("linux/".length);
      const present = holderOf(name) !== undefined || findPinned(rows, digest) !== undefined;
      const size = downloadBytes?.[platform] ?? null;
      return {
        name,
        description,
        architecture,
        present,
        from: "registry" as const,
        reference,
        digest,
        downloadBytes: size,
      };
    }),
  ];
}
