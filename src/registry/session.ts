// Requests below /v2/ of one registry: finds out how to speak with it, identifies itself when asked to, tries again, and turns
// answers that are errors into ours.
import { BangerError } from "../lib/errors.ts";
import { quietProgress } from "../lib/progress.ts";
import { SharedWork } from "../lib/shared-work.ts";
import { type Authorizer, authorizer, deniedError } from "./authorize.ts";
import { connectPolicy } from "./connect.ts";
import type { CredentialSource } from "./credential.ts";
import { errorWords } from "./failure.ts";
import { fetchAnswer, readErrorBody, type HttpAnswer } from "./http.ts";
import { defaultLimits, type RegistryLimits } from "./limits.ts";
import { endpointOf } from "./reference.ts";
import { askAgain, retryAfterMs } from "./retry.ts";

export interface SessionOptions {
  /** As users write it: "docker.io", "localhost:5000". */
  registry: string;
  /** What tokens are asked for. */
  scope?: string;
  credentials?: CredentialSource;
  /** Takes plain HTTP and any certificate from the registry. Default: plain HTTP from this machine only. */
  insecure?: boolean;
  limits?: Partial<RegistryLimits>;
  /** Never goes on as nobody when credentials cannot be used. Default: false. */
  mustProve?: boolean;
  /** What another session with the same registry knows already. */
  shared?: { base: URL; authorization: Authorizer };
}

export interface Ask {
  /** Below /v2/: "library/alpine/manifests/3.20", or "" for the registry itself. */
  path: string;
  headers?: Readonly<Record<string, string>>;
  /** What is asked for, in errors: `the image "alpine:3.20"`. */
  what: string;
  /** What the registry does not do when it denies. Default: "does not give". */
  denial?: string;
  /** Statuses that the caller deals with. */
  expected: readonly number[];
  signal: AbortSignal;
}

export interface Session extends Disposable {
  readonly limits: RegistryLimits;
  readonly authorization: Authorizer;
  /** Address of the registry's /v2/; asks for it the first time. */
  base(signal: AbortSignal): Promise<URL>;
  /**
   * Asks and returns an answer whose status is among the expected ones. Errors: `image.not-found`, `registry.denied`,
   * `registry.failed`, `registry.unreachable`, or the signal's reason.
   */
  get(ask: Ask): Promise<HttpAnswer>;
}

const longestProbeMs = 10_000;

/** A session with one registry. The caller disposes it: that closes connections that are idle. */
export function openSession(options: SessionOptions): Session {
  const { registry } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const endpoint = endpointOf(registry);
  const policy = connectPolicy({ endpoint, insecure: options.insecure === true });
  const authorization =
    options.shared?.authorization ??
    authorizer({
      registry,
      scope: options.scope,
      credentials: options.credentials,
      mustProve: options.mustProve === true,
      policy,
      limits,
    });
  let known = options.shared?.base;
  const probes = new SharedWork<URL>();

  /** Plain HTTP is spoken only where it may be, and only when nothing answers in TLS. */
  const probe = async (signal: AbortSignal): Promise<URL> => {
    const secure = new URL(`https://${endpoint}/v2/`);
    const plain = new URL(`http://${endpoint}/v2/`);
    if (!policy.mayBePlain(plain)) return secure;
    const quick = { ...limits, answerTimeoutMs: Math.min(limits.answerTimeoutMs, longestProbeMs) };
    try {
      const answer = await fetchAnswer(policy, quick, { url: secure, signal });
      answer.body.destroy();
      return secure;
    } catch (error) {
      signal.throwIfAborted();
      // An answer in TLS that is refused, or a certificate that is not trusted, is no reason to go without.
      const code = error instanceof BangerError ? error.details?.["code"] : undefined;
      if (error instanceof BangerError && error.code !== "registry.unreachable") return secure;
      if (typeof code === "string" && /CERT|ISSUER|SELF_SIGNED|UNABLE_TO_VERIFY|ENOTFOUND/.test(code)) throw error;
      return plain;
    }
  };

  const base = async (aborted: AbortSignal) =>
    (known ??= await probes.run("probe", quietProgress(aborted), ({ signal }) => probe(signal)));

  const once = async (ask: Ask, url: URL): Promise<HttpAnswer> => {
    for (let attempt = 1; ; attempt++) {
      const used = await authorization.header(ask.signal);
      const answer = await fetchAnswer(policy, limits, {
        url,
        headers: ask.headers ?? {},
        authorization: used,
        signal: ask.signal,
      });
      // A host that the registry has sent us to is not told who we are, whatever it asks.
      if (answer.status !== 401 || answer.url.origin !== url.origin || attempt > 1) return answer;
      if (!(await authorization.learn(answer, used, ask.signal))) return answer;
      await readErrorBody(answer, limits, ask.signal);
    }
  };

  const denied = ({ what, denial = "does not give" }: Ask, words: string): BangerError =>
    deniedError(registry, `${denial} ${what}: ${words}`, authorization.explanation());

  const fail = async (ask: Ask, answer: HttpAnswer): Promise<BangerError> => {
    const { status, url } = answer;
    const said = errorWords(await readErrorBody(answer, limits, ask.signal));
    const words = said ?? `HTTP status ${status}`;
    const details = { registry, status, host: url.host };
    if (status === 404) {
      return new BangerError("image.not-found", `"${registry}" does not have ${ask.what}: ${words}`, { details });
    }
    if (status === 401 || status === 403) return denied(ask, words);
    const waitMs = retryAfterMs(answer.headers["retry-after"], Date.now());
    const wait = waitMs > 0 ? `; it asks to come again in ${Math.ceil(waitMs / 1000)} s` : "";
    return new BangerError(
      "registry.failed",
      `"${url.host}" fails to give ${ask.what}: ${said === undefined ? words : `${words} (HTTP status ${status})`}${wait}`,
      { details },
    );
  };

  return {
    limits,
    authorization,
    base,
    async get(ask) {
      const url = new URL(ask.path, await base(ask.signal));
      const answer = await askAgain(limits, ask.signal, () => once(ask, url)).catch((error: unknown) => {
        // A token server knows neither what it is asked for nor what the user can do about it.
        if (!(error instanceof BangerError) || error.code !== "registry.denied") throw error;
        throw denied(ask, error.message);
      });
      if (ask.expected.includes(answer.status)) return answer;
      throw await fail(ask, answer);
    },
    [Symbol.dispose]: () => policy[Symbol.dispose](),
  };
}
