// The authorizer of another thread: credentials and tokens stay there, what comes over is the header of the next request.
import { fromErrorBody } from "../../lib/errors.ts";
import type { Authorizer, Explanation } from "../authorize.ts";
import type { HttpAnswer } from "../http.ts";
import { type Answer, type Question, received } from "./protocol.ts";

export class AskedAuthorizer implements Authorizer {
  readonly #ask: (id: number, question: Question) => void;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #lastId = 0;
  #explanation: Explanation | undefined;

  constructor(ask: (id: number, question: Question) => void) {
    this.#ask = ask;
  }

  hear(id: number, answer: Answer): void {
    this.#waiting.get(id)?.(answer);
    this.#waiting.delete(id);
  }

  async header(signal: AbortSignal): Promise<string | undefined> {
    return (await this.#answerTo({ about: "header" }, signal)).header;
  }

  async learn(
    { headers, url }: Pick<HttpAnswer, "headers" | "url">,
    used: string | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    const challenge = headers["www-authenticate"];
    const { hasLearned } = await this.#answerTo({ about: "learn", url: url.href, challenge, used }, signal);
    return hasLearned === true;
  }

  explanation(): Explanation | undefined {
    return this.#explanation;
  }

  async #answerTo(question: Question, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    this.#waiting.set(id, resolve);
    this.#ask(id, question);
    try {
      const answer = await promise;
      const { explanation, error } = answer;
      if (explanation !== undefined) {
        const { cause, ...rest } = explanation;
        this.#explanation = { ...rest, ...(cause === undefined ? {} : { cause: fromErrorBody(cause) }) };
      }
      if (error !== undefined) throw received(error);
      return answer;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#waiting.delete(id);
    }
  }
}
