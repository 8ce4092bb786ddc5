// How long and how often the client of a registry waits and tries.

export interface RegistryLimits {
  /** From asking until the header of the answer is there. */
  answerTimeoutMs: number;
  /** For a whole manifest, token or error body. */
  documentTimeoutMs: number;
  /** For a whole blob, with all its attempts. */
  blobTimeoutMs: number;
  /** Longest silence within a body. */
  idleTimeoutMs: number;
  /** A body that gives fewer than `slowestBytes` in this much time of waiting for it is taken for cut. */
  rateWindowMs: number;
  slowestBytes: number;
  /** Attempts in a row without progress, for anything that may be tried again. */
  attempts: number;
  /** First pause between two attempts; it doubles, up to the longest. The real pause is a random part of it. */
  firstPauseMs: number;
  longestPauseMs: number;
  /** Longest `Retry-After` that is obeyed; a longer one is an error at once. */
  longestRetryAfterMs: number;
}

export const defaultLimits: RegistryLimits = {
  answerTimeoutMs: 30_000,
  documentTimeoutMs: 60_000,
  blobTimeoutMs: 6 * 3600_000,
  idleTimeoutMs: 30_000,
  rateWindowMs: 30_000,
  slowestBytes: 32 * 1024,
  attempts: 5,
  firstPauseMs: 500,
  longestPauseMs: 15_000,
  longestRetryAfterMs: 60_000,
};
