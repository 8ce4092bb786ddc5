// Follows an operation to its end: updates, cancel on abort, the error with the operation's id.
import type { ErrorBody } from "../lib/errors.ts";
import { BangerError, fromErrorBody, toBangerError } from "../lib/errors.ts";
import type { Operation } from "../api/records.ts";
import type { Client } from "./client.ts";

export interface FollowOptions {
  /** Cancels the operation; following goes on until it has undone what it made. */
  signal?: AbortSignal;
  /** Each state of the operation, the first and the last included. */
  onUpdate?: (operation: Operation) => void;
  /** An abort only ends the watching; the operation goes on. */
  detach?: boolean;
}

/** The operation's result. Throws its error; `cancelled` when it was detached from. */
export async function followOperation(client: Client, operation: Operation, options: FollowOptions): Promise<unknown> {
  const { signal, onUpdate, detach = false } = options;
  const { id } = operation;
  const onAbort = () => {
    // The watch below tells how it ends, also when this call finds it done or the daemon gone.
    if (!detach) void client.call("operation.cancel", { id }).catch(() => {});
  };
  if (signal?.aborted === true) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const last = await watch(client, operation, onUpdate, detach ? signal : undefined);
    if (last.error === null) return last.result;
    const body = last.error as ErrorBody;
    throw fromErrorBody({ ...body, operation: body.operation ?? id });
  } catch (thrown) {
    if (!detach || signal?.aborted !== true) throw thrown;
    throw new BangerError("cancelled", `no longer watching ${operation.kind}: it goes on`, {
      hint: `banger operation show ${id}`,
      operation: id,
    });
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

async function watch(
  client: Client,
  operation: Operation,
  onUpdate: FollowOptions["onUpdate"],
  signal: AbortSignal | undefined,
): Promise<Operation> {
  let last = operation;
  const { id } = operation;
  try {
    for await (last of client.events("operation.watch", { id }, signal === undefined ? {} : { signal }))
      onUpdate?.(last);
    if (last.done) return last;
  } catch (thrown) {
    if (signal?.aborted === true || toBangerError(thrown).code !== "daemon.unreachable") throw thrown;
  }
  // The daemon went away. Its successor has noted what became of the operation.
  last = await client.call("operation.show", { id }).catch((thrown: unknown) => {
    const error = toBangerError(thrown);
    if (error.code !== "operation.not-found") throw error;
    // It had just begun: the daemon ended before it could note that.
    throw new BangerError("operation.interrupted", `the daemon ended while ${operation.kind} was under way`, {
      hint: "banger vm list",
      operation: id,
    });
  });
  onUpdate?.(last);
  return last.done ? last : watch(client, last, onUpdate, signal);
}
