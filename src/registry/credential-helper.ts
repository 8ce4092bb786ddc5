// Credential helpers: programs named docker-credential-<name> that keep passwords in a key ring or fetch them from a cloud.
import { BangerError } from "../lib/errors.ts";
import { findTool, run } from "../lib/run.ts";
import type { Credential } from "./credential.ts";

const helperName = /^[a-zA-Z0-9][\w.-]{0,63}$/;
const longestAnswerBytes = 64 * 1024;
const helperTimeoutMs = 30_000;

/**
 * Asks a helper for what it has for `server`; undefined when it has nothing. The helper gets the environment of this process: it
 * is a program of the user's choice and needs to find key ring or cloud. Nothing of what it prints gets into errors.
 */
export async function askHelper(
  name: string,
  server: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Credential | undefined> {
  if (!helperName.test(name)) throw failed(name, "that is no name of a helper");
  const file = `docker-credential-${name}`;
  if (findTool(file) === undefined) throw failed(name, `"${file}" is not installed`);
  const result = await run({
    file,
    args: ["get"],
    input: `${server}\n`,
    env: Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined)),
    okExitCodes: [0, 1],
    maxOutputBytes: longestAnswerBytes,
    timeoutMs: helperTimeoutMs,
    signal,
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    const code = error instanceof BangerError ? error.details?.["exitCode"] : undefined;
    const timedOut = error instanceof BangerError && error.code === "timeout";
    throw failed(
      name,
      timedOut
        ? `it did not answer within ${helperTimeoutMs / 1000} s`
        : `it failed${typeof code === "number" ? ` with exit code ${code}` : ""}`,
    );
  });
  const text = result.stdout.toString("utf8");
  if (result.exitCode === 1) {
    if (/credentials not found/i.test(text)) return undefined;
    throw failed(name, "it failed with exit code 1");
  }
  let parsed: { Username?: unknown; Secret?: unknown } | null;
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch {
    throw failed(name, "it printed something else than JSON");
  }
  const { Username: username, Secret: secret } = parsed ?? {};
  if (typeof username !== "string" || typeof secret !== "string" || secret === "") {
    throw failed(name, "its answer has no user name and secret");
  }
  return username === "<token>"
    ? { kind: "identity", token: secret }
    : { kind: "password", username, password: secret };
}

function failed(name: string, why: string): BangerError {
  return new BangerError("command.failed", `credential helper "${name.slice(0, 80)}": ${why}`);
}
