// Why an operation is asked to stop.
import { BangerError } from "./errors.ts";

/** The reason of the signal of work that somebody cancelled. */
export class Cancellation extends BangerError {
  /** Nothing that the work made shall stay, not even what could tell why it was slow: a VM that was being made. */
  readonly undoAll: boolean;

  constructor(message: string, { undoAll = false }: { undoAll?: boolean } = {}) {
    super("cancelled", message);
    this.undoAll = undoAll;
  }
}

/** Whether the signal was aborted by who wants nothing to stay. */
export function isToBeUndone(signal: AbortSignal): boolean {
  return signal.aborted && signal.reason instanceof Cancellation && signal.reason.undoAll;
}
