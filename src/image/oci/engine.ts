// Images out of the local store of docker or podman, through their own clients.
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { BangerError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { findTool, run } from "../../lib/run.ts";
import { printable } from "./manifest.ts";

export type Engine = "docker" | "podman";

/**
 * Saves an image as an archive in the file `target`, which must not exist and is the caller's. Throws `command.missing` when the
 * client is not installed, `image.not-found` when the engine has no such image.
 */
export async function saveFromEngine(
  engine: Engine,
  reference: string,
  target: string,
  progress: Progress,
): Promise<void> {
  const file = findTool(engine);
  if (file === undefined) {
    throw new BangerError("command.missing", `"${engine}" is not installed, so nothing can be taken from its store`, {
      hint: `banger image pull ${printable(reference)}`,
    });
  }
  if (!/^[\w][\w.:/@-]{0,511}$/.test(reference)) {
    throw new BangerError("image.reference-invalid", `"${printable(reference)}" is no name of an image in ${engine}`);
  }
  progress.stage("save", `${engine} ${reference}`);
  const output = createWriteStream(target, { flags: "wx", mode: 0o600 });
  try {
    await run({
      file,
      args: ["save", reference],
      env: engineEnvironment(),
      output,
      timeoutMs: 3_600_000,
      signal: progress.signal,
    });
  } catch (error) {
    // The caller removes the file: it must not be opened only after that.
    output.destroy();
    if (!output.closed) await once(output, "close");
    if (!(error instanceof BangerError) || error.code !== "command.failed") throw error;
    const isMissing = /no such image|not known|does not exist|reference does not exist|image not known/i.test(
      error.message,
    );
    throw new BangerError(
      isMissing ? "image.not-found" : "command.failed",
      isMissing ? `${engine} has no image "${reference}"` : error.message,
      { cause: error, hint: `${engine} images` },
    );
  }
  if (!output.closed) await once(output, "close");
  if ((await stat(target)).size === 0)
    throw new BangerError("image.not-found", `${engine} gave nothing for "${reference}"`);
}

/** What the clients need to find their stores and daemons. */
function engineEnvironment(): Record<string, string> {
  const names = [
    ...["DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"],
    ...["CONTAINER_HOST", "CONTAINER_CONNECTION", "CONTAINER_SSHKEY", "SSH_AUTH_SOCK"],
    ...["CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS"],
    ...["XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "TMPDIR"],
  ];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
