// Joins the image store and the client of registries, which do not know each other.
import type { Registries } from "../image/oci/source.ts";
import { type CredentialFiles, storedCredentials } from "../registry/credentials.ts";
import { dockerHub, formatReference, type ImageReference, parseReference } from "../registry/reference.ts";
import { openRepository } from "../registry/repository.ts";

/** Credentials are looked up at each pull. */
export function createRegistries(files: CredentialFiles): Registries {
  const credentials = storedCredentials(files);
  return {
    normalize: (text) => familiar(parseReference(text)),
    open(text, { insecure, signal }) {
      const reference = parseReference(text);
      const repository = openRepository(reference, { credentials, insecure, signal });
      return {
        source: repository,
        reference: reference.digest ?? reference.tag ?? "latest",
        [Symbol.asyncDispose]: async () => repository[Symbol.dispose](),
      };
    },
  };
}

/** As people write it: without what stands for Docker Hub, with the tag. */
function familiar(reference: ImageReference): string {
  const full = formatReference(reference);
  if (reference.registry !== dockerHub) return full;
  return full.slice(dockerHub.length + 1).replace(/^library\/(?=[^/]+$)/, "");
}
