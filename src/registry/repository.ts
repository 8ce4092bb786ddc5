// One repository of a registry, for pulling: the public face of this folder.
import { BangerError } from "../lib/errors.ts";
import type { CredentialSource } from "./credential.ts";
import { isDigest } from "./digest.ts";
import { plainWords } from "./failure.ts";
import type { RegistryLimits } from "./limits.ts";
import { manifestAccept, readManifest } from "./manifest.ts";
import type { ImageReference } from "./reference.ts";
import { openFrom } from "./repository-blob.ts";
import { SaveThread } from "./save/thread.ts";
import { openSession } from "./session.ts";
import type { RemoteSource } from "../lib/oci-content.ts";

export interface RepositoryOptions {
  /** Asked when the registry wants to know who we are. Default: nobody. */
  credentials?: CredentialSource;
  /** Plain HTTP and any certificate are fine. Default: plain HTTP with this machine only. */
  insecure?: boolean;
  limits?: Partial<RegistryLimits>;
  /** Looked at when it is opened. What runs later has signals of its own, and what several share ends with the last of them. */
  signal: AbortSignal;
}

/**
 * Opens the repository of a reference; nothing is sent yet. Disposing it closes connections that are idle; open streams go on.
 * Errors of its methods: `image.not-found`, `image.invalid`, `registry.denied`, `registry.failed`, `registry.unreachable`.
 */
export function openRepository(
  { registry, repository }: Pick<ImageReference, "registry" | "repository">,
  options: RepositoryOptions,
): RemoteSource & Disposable {
  options.signal.throwIfAborted();
  const session = openSession({ ...options, registry, scope: `repository:${repository}:pull` });
  const saver = new SaveThread(session, { registry, repository, insecure: options.insecure === true });
  return {
    async manifest(reference, { signal }) {
      const isSound = isDigest(reference) || /^\w[\w.-]{0,127}$/.test(reference);
      const shown = `"${registry}/${repository}${reference.includes(":") ? "@" : ":"}${plainWords(reference, 150)}"`;
      if (!isSound) throw new BangerError("image.reference-invalid", `${shown} has neither a tag nor a digest`);
      const answer = await session.get({
        path: `${repository}/manifests/${reference}`,
        headers: { accept: manifestAccept },
        what: `the image ${shown}`,
        expected: [200],
        signal,
      });
      return readManifest(answer, reference, `the image ${shown}`, session.limits, signal);
    },
    open: (descriptor, { offset = 0, signal }) =>
      openFrom(session, { registry, repository }, descriptor, offset, signal),
    save: (descriptor, request) => saver.save(descriptor, request),
    [Symbol.dispose]() {
      saver[Symbol.dispose]();
      session[Symbol.dispose]();
    },
  };
}
