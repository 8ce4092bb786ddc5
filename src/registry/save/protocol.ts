// What a repository and the thread that saves its blobs say to each other. Bytes of blobs and credentials are not among it.
import { type ErrorBody, fromErrorBody, toErrorBody } from "../../lib/errors.ts";
import type { Descriptor, SaveRequest } from "../../lib/oci-content.ts";
import { isPassing, markPassing } from "../failure.ts";
import type { RegistryLimits } from "../limits.ts";

/** What a thread is started with. */
export interface SaverJob {
  registry: string;
  repository: string;
  insecure: boolean;
  limits: RegistryLimits;
  /** Address of the registry's /v2/. */
  base: string;
}

/** What is asked of the authorizer, which stays where the credentials are. */
export type Question =
  | { about: "header" }
  | { about: "learn"; url: string; challenge: string | undefined; used: string | undefined };

export interface Answer {
  /** `Authorization` for the next request. */
  header?: string | undefined;
  hasLearned?: boolean;
  error?: SentError;
  explanation?: { text: string; cause?: ErrorBody; realm?: string };
}

export interface SentRequest extends Pick<SaveRequest, "fd" | "haveBytes" | "label"> {
  /** Memory of the count. */
  count: SharedArrayBuffer;
}

export type ToSaver =
  | { say: "save"; id: number; descriptor: Descriptor; request: SentRequest }
  | { say: "abort"; id: number; error: ErrorBody }
  | { say: "answer"; id: number; answer: Answer };

export type FromSaver =
  | { say: "ask"; id: number; question: Question }
  | { say: "saved"; id: number; digest: string }
  | { say: "failed"; id: number; error: ErrorBody };

/** An error between threads, with what decides whether the request may be sent again. */
export interface SentError {
  body: ErrorBody;
  isPassing: boolean;
}

export function sendable(error: unknown): SentError {
  return { body: toErrorBody(error), isPassing: isPassing(error) };
}

export function received({ body, isPassing: mayPass }: SentError): Error {
  const error = fromErrorBody(body);
  return mayPass ? markPassing(error) : error;
}
