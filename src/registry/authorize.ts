// Who we are to one registry: answers its challenges with what is stored for it, and keeps the token as long as it is good.
import { BangerError } from "../lib/errors.ts";
import { quietProgress } from "../lib/progress.ts";
import { SharedWork } from "../lib/shared-work.ts";
import { parseChallenges, type Challenge } from "./challenge.ts";
import type { ConnectPolicy } from "./connect.ts";
import type { CredentialSource, FoundCredential } from "./credential.ts";
import type { HttpAnswer } from "./http.ts";
import type { RegistryLimits } from "./limits.ts";
import { basicHeader, fetchToken, parseRealm, type Token, type TokenRequest } from "./token.ts";

export interface Authorizer {
  /** `Authorization` for the next request, as far as it is known what the registry wants. */
  header(signal: AbortSignal): Promise<string | undefined>;
  /**
   * Learns from an answer with status 401 to a request that was sent with `used`. False when there is nothing else to try.
   * Errors: those of token servers.
   */
  learn(answer: Pick<HttpAnswer, "headers" | "url">, used: string | undefined, signal: AbortSignal): Promise<boolean>;
  /** Why credentials did not help, for the error; undefined when nothing is stored. */
  explanation(): Explanation | undefined;
}

export interface Explanation {
  text: string;
  cause?: unknown;
  realm?: string;
}

export interface AuthorizerOptions {
  registry: string;
  /** What tokens are asked for: `repository:<name>:pull`. */
  scope: string | undefined;
  credentials: CredentialSource | undefined;
  /** Credentials that may not be sent are an error, instead of going on as nobody. */
  mustProve: boolean;
  policy: ConnectPolicy;
  limits: RegistryLimits;
}

/** Token servers on another host than their registry, that belong to the same owner. */
const knownRealms: Record<string, string> = {
  "docker.io": "auth.docker.io",
  "registry.gitlab.com": "gitlab.com",
};

type Way = { kind: "header"; value: string } | { kind: "bearer"; request: TokenRequest };

/** The authorizer of one repository. */
export function authorizer(options: AuthorizerOptions): Authorizer {
  const { registry, scope, policy, limits } = options;
  let way: Way | undefined;
  let token: Token | undefined;
  let found: FoundCredential | undefined;
  let hasLooked = false;
  let explained: Explanation | undefined;
  const tokens = new SharedWork<Token>();
  const looks = new SharedWork<void>();

  /** Looks for credentials, once. */
  const look = (inner: AbortSignal): Promise<void> =>
    looks.run("look", quietProgress(inner), async ({ signal }) => {
      if (hasLooked) return;
      try {
        found = await options.credentials?.(registry, signal);
        if (found !== undefined && !options.mustProve)
          explained = { text: `it was asked with the credentials of ${found.origin}` };
      } catch (error) {
        // What is public can be had without them; when it is not, the error says why there were none.
        signal.throwIfAborted();
        explained = { text: "what is stored for it cannot be used", cause: error };
      }
      hasLooked = true;
    });

  const currentToken = async (request: TokenRequest, inner: AbortSignal): Promise<Token> => {
    if (token !== undefined && token.goodUntilMs > Date.now()) return token;
    token = await tokens.run("token", quietProgress(inner), ({ signal }) =>
      fetchToken(policy, limits, request, signal),
    );
    return token;
  };

  const header = async (signal: AbortSignal): Promise<string | undefined> => {
    if (way === undefined) return undefined;
    return way.kind === "header" ? way.value : `Bearer ${(await currentToken(way.request, signal)).value}`;
  };

  /** The way that fits a challenge and what is stored. */
  const chooseWay = (challenges: readonly Challenge[], url: URL): Way | undefined => {
    const credential = found?.credential;
    if (credential?.kind === "bearer") return { kind: "header", value: `Bearer ${credential.token}` };
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      const realm = parseRealm(bearer, policy, url);
      const request = { realm, service: bearer.parameters.get("service"), scope };
      if (credential === undefined || mayHaveCredentials(realm)) {
        return { kind: "bearer", request: { ...request, credential } };
      }
      explained = {
        text: `it wants the password of ${found?.origin} to be sent to "${realm.host}", which nobody has allowed`,
        realm: realm.host,
      };
      if (options.mustProve) throw new BangerError("registry.denied", `it names "${realm.host}" as its token server`);
      return { kind: "bearer", request: { ...request, credential: undefined } };
    }
    const basic = challenges.some(({ scheme }) => scheme === "basic");
    if (!basic || credential?.kind !== "password") return undefined;
    return { kind: "header", value: basicHeader(credential) };
  };

  const mayHaveCredentials = (realm: URL): boolean =>
    policy.isRegistry(realm) || knownRealms[registry] === realm.host || found?.realm === realm.host;

  return {
    header,
    async learn(answer, used, signal) {
      // Another request may have learned meanwhile.
      if (way !== undefined && used === undefined) return true;
      if (way?.kind === "bearer" && token !== undefined && used !== `Bearer ${token.value}`) return true;
      if (way?.kind === "header") return false;
      await look(signal);
      const challenges = parseChallenges(answer.headers["www-authenticate"]);
      way = chooseWay(challenges, answer.url);
      token = undefined;
      if (way === undefined) return false;
      await header(signal);
      return true;
    },
    explanation: () => explained,
  };
}

/** The error of a registry that does not do something: `what` says what, in its own words. */
export function deniedError(registry: string, what: string, explanation: Explanation | undefined): BangerError {
  const why = explanation === undefined ? "" : `; ${explanation.text}`;
  const realm = explanation?.realm === undefined ? "" : ` --realm ${explanation.realm}`;
  return new BangerError("registry.denied", `"${registry}" ${what}${why}`, {
    hint: `banger registry login ${registry}${realm}`,
    cause: explanation?.cause,
    details: { registry },
  });
}
