// Bearer tokens: asks the token server that a registry names for one that allows to pull one repository.
import { BangerError } from "../lib/errors.ts";
import type { Challenge } from "./challenge.ts";
import type { ConnectPolicy } from "./connect.ts";
import type { Credential } from "./credential.ts";
import { errorWords, plainWords } from "./failure.ts";
import { fetchAnswer, readBody, readErrorBody, type HttpAnswer } from "./http.ts";
import type { RegistryLimits } from "./limits.ts";
import { askAgain } from "./retry.ts";

export interface Token {
  value: string;
  /** Milliseconds since the epoch from which on it is taken for expired. */
  goodUntilMs: number;
}

export interface TokenRequest {
  realm: URL;
  service: string | undefined;
  /** `repository:<name>:pull`; absent to prove who one is, no more. */
  scope: string | undefined;
  credential: Credential | undefined;
}

const longestAnswerBytes = 256 * 1024;
const shortestLifeS = 60;
const longestLifeS = 3600;
/** Part of a token's life after which it is not used any more. */
const usedPart = 0.8;

/**
 * Address of the token server. It comes from the other side: only https, or plain HTTP where the registry itself may speak it.
 * Throws `registry.failed`.
 */
export function parseRealm(challenge: Challenge, policy: ConnectPolicy, registry: URL): URL {
  const text = challenge.parameters.get("realm") ?? "";
  const refuse = (why: string) =>
    new BangerError(
      "registry.failed",
      `"${registry.host}" names "${plainWords(text, 100)}" as its token server: ${why}`,
    );
  if (text.length > 2048 || !URL.canParse(text)) throw refuse("that is no URL");
  const realm = new URL(text);
  if (realm.username !== "" || realm.password !== "") throw refuse("it holds credentials");
  if (realm.protocol === "https:") return realm;
  if (realm.protocol !== "http:") throw refuse("only https is used");
  if (registry.protocol === "https:" || !policy.mayBePlain(realm)) throw refuse("it is not encrypted");
  return realm;
}

/**
 * Fetches a token. Errors: `registry.denied` when the server does not give one, `registry.failed` when it gives anything else,
 * `registry.unreachable`.
 */
export async function fetchToken(
  policy: ConnectPolicy,
  limits: RegistryLimits,
  request: TokenRequest,
  signal: AbortSignal,
): Promise<Token> {
  const answer = await askAgain(limits, signal, () => ask(policy, limits, request, signal));
  const { host } = answer.url;
  if (answer.status !== 200) {
    const words = errorWords(await readErrorBody(answer, limits, signal)) ?? `HTTP status ${answer.status}`;
    const denied = [400, 401, 403].includes(answer.status);
    throw new BangerError(denied ? "registry.denied" : "registry.failed", `"${host}" gives no token: ${words}`, {
      details: { host, status: answer.status },
    });
  }
  const body = await readBody(answer, longestAnswerBytes, limits, signal);
  return parseToken(body, host, Date.now());
}

function ask(
  policy: ConnectPolicy,
  limits: RegistryLimits,
  { realm, service, scope, credential }: TokenRequest,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const parameters: [string, string][] = [["client_id", "banger"]];
  if (service !== undefined) parameters.push(["service", service]);
  if (scope !== undefined) parameters.push(["scope", scope]);
  if (credential?.kind === "identity") {
    const form = new URLSearchParams([
      ...parameters,
      ["grant_type", "refresh_token"],
      ["refresh_token", credential.token],
    ]);
    return fetchAnswer(policy, limits, {
      url: realm,
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: form.toString(),
      signal,
    });
  }
  const url = new URL(realm);
  for (const [name, value] of parameters) url.searchParams.set(name, value);
  const authorization = credential?.kind === "password" ? basicHeader(credential) : undefined;
  return fetchAnswer(policy, limits, { url, authorization, signal });
}

/** `Authorization` of a user name and password. */
export function basicHeader({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Token of a server's answer that came at `nowMs`. Throws `registry.failed` when it is none. */
export function parseToken(body: Buffer, host: string, nowMs: number): Token {
  let parsed: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null;
  try {
    parsed = JSON.parse(body.toString("utf8")) as typeof parsed;
  } catch {
    throw new BangerError("registry.failed", `"${host}" answers with something else than a token`);
  }
  const value = [parsed?.token, parsed?.access_token].find((text) => typeof text === "string" && text !== "");
  // It becomes part of a header.
  if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) {
    throw new BangerError("registry.failed", `"${host}" answers without a token`);
  }
  const lifeS = typeof parsed?.expires_in === "number" && parsed.expires_in > 0 ? parsed.expires_in : shortestLifeS;
  return { value, goodUntilMs: nowMs + Math.min(lifeS, longestLifeS) * 1000 * usedPart };
}
