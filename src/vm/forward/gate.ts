// How many connections one VM may have at once: some are carried, some wait for their turn, and the rest is refused.
import type { Socket } from "node:net";
import { Turns } from "../../lib/turns.ts";
import { reset } from "./reset.ts";

/** The agent takes 512 streams at once; commands and files need some, too. */
export const maxCarried = 256;
const maxWaiting = 1024;

export class Gate implements Disposable {
  readonly #turns = new Turns(maxCarried);
  /** Accepted connections and what they came in by. */
  readonly #sockets = new Map<Socket, string>();
  readonly #over = new AbortController();

  /** Connections that came in by the listener, those that wait included. */
  count(listen: string): number {
    return [...this.#sockets.values()].filter((one) => one === listen).length;
  }

  /** Runs `carry` when it is the connection's turn. Never throws; it is reset when there are too many. */
  async pass(listen: string, socket: Socket, carry: () => Promise<void>): Promise<void> {
    if (this.#over.signal.aborted || this.#sockets.size >= maxCarried + maxWaiting) {
      reset(socket);
      return;
    }
    this.#sockets.set(socket, listen);
    socket.once("close", () => this.#sockets.delete(socket));
    // Until it is carried nobody else listens for it.
    const ignore = () => {};
    socket.on("error", ignore);
    try {
      using _turn = await this.#turns.take(this.#over.signal);
      if (!socket.destroyed) await carry();
    } catch {
      reset(socket);
    } finally {
      socket.off("error", ignore);
    }
  }

  /** Ends the connections that came in by the listener. */
  end(listen: string): void {
    for (const [socket, one] of this.#sockets) if (one === listen) reset(socket);
  }

  /** Ends all. */
  [Symbol.dispose](): void {
    this.#over.abort();
    for (const socket of this.#sockets.keys()) reset(socket);
  }
}
