// Client of QEMU's control socket (QMP): greeting, capabilities, commands, events. QEMU serves one client at a time; the daemon
// holds the socket while the machine runs.
import { connect } from "node:net";
import type { Socket } from "node:net";
import { socketAddress } from "../../config/paths.ts";
import { BangerError } from "../../lib/errors.ts";
import { QmpLines } from "./qmp-lines.ts";

export interface QmpEvent {
  /** For example "SHUTDOWN". */
  name: string;
  data: Record<string, unknown>;
}

/** An open QMP session, ready for commands. The owner calls `close`. */
export interface QmpClient {
  /**
   * Runs one command and resolves with its return value. Throws `vmm.failed` with QEMU's own words, or when the session ends first;
   * the signal's reason on abort (the command may still take effect).
   */
  execute(command: string, args: Record<string, unknown>, options: { signal: AbortSignal }): Promise<unknown>;
  /** Resolves once when the session is over; with the error when the VMM broke the protocol. Never rejects. */
  readonly closed: Promise<BangerError | undefined>;
  close(): void;
}

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

/**
 * Connects and negotiates. Socket errors (ENOENT, ECONNREFUSED) are thrown as they are, so that a caller can try again;
 * `vmm.failed` when something else than QMP answers; the signal's reason on abort: also while another client holds the socket.
 */
export async function connectQmp(
  path: string,
  options: { signal: AbortSignal; onEvent: (event: QmpEvent) => void },
): Promise<QmpClient> {
  const { signal, onEvent } = options;
  signal.throwIfAborted();
  using name = socketAddress(path);
  const socket = connect(name.address);
  const session = createSession(socket, onEvent);
  const onAbort = () => socket.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await session.ready;
    return session.client;
  } catch (error) {
    socket.destroy();
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function createSession(
  socket: Socket,
  onEvent: (event: QmpEvent) => void,
): { client: QmpClient; ready: Promise<void> } {
  const lines = new QmpLines();
  const waiting = new Map<number, Waiting>();
  const greeting = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<BangerError | undefined>();
  let nextId = 1;
  let failure: Error | undefined;
  let greeted = false;

  const take = (message: Record<string, unknown>) => {
    if (!greeted) {
      if (!("QMP" in message)) throw new BangerError("vmm.failed", "the VMM's control socket does not speak QMP");
      greeted = true;
      greeting.resolve();
    } else if (typeof message["event"] === "string") {
      onEvent({ name: message["event"], data: objectOf(message["data"]) });
    } else if (typeof message["id"] === "number") {
      // An id that nobody waits for belongs to a command that was given up.
      const command = waiting.get(message["id"]);
      waiting.delete(message["id"]);
      if ("return" in message) command?.resolve(message["return"]);
      else command?.reject(commandError(message["error"]));
    } else throw new BangerError("vmm.failed", "the VMM sent a reply to no command on its control socket");
  };

  socket.on("data", (chunk: Buffer) => {
    try {
      for (const message of lines.push(chunk)) take(message);
    } catch (error) {
      failure ??= error as Error;
      socket.destroy();
    }
  });
  // QEMU never half-closes: an end is the end.
  socket.once("end", () => socket.destroy());
  socket.once("error", (error) => (failure ??= error));
  socket.once("close", () => {
    // Killed with a command unread, its end is an error of the socket; for who waits for an answer it is the same end.
    const end =
      failure instanceof BangerError
        ? failure
        : new BangerError("vmm.failed", "the VMM closed its control socket", { cause: failure });
    greeting.reject(failure ?? end);
    for (const command of waiting.values()) command.reject(end);
    waiting.clear();
    closed.resolve(failure instanceof BangerError ? failure : undefined);
  });

  const client: QmpClient = {
    closed: closed.promise,
    close: () => socket.destroy(),
    async execute(command, args, { signal }) {
      signal.throwIfAborted();
      if (socket.destroyed) throw new BangerError("vmm.failed", `"${command}": the VMM's control socket is closed`);
      const id = nextId++;
      const reply = Promise.withResolvers<unknown>();
      const onAbort = () => {
        waiting.delete(id);
        reply.reject(signal.reason);
      };
      waiting.set(id, reply);
      signal.addEventListener("abort", onAbort, { once: true });
      socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
      try {
        return await reply.promise;
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
  const negotiate = async () => {
    await greeting.promise;
    await client.execute("qmp_capabilities", {}, { signal: new AbortController().signal });
  };
  return { client, ready: negotiate() };
}

function commandError(error: unknown): BangerError {
  const description = objectOf(error)["desc"];
  const words = typeof description === "string" ? description.slice(0, 500) : "no reason given";
  return new BangerError("vmm.failed", `the VMM refused a command: ${words}`);
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
