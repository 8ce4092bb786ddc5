// Calls on one banger-netd over its control socket, with bounded replies and errors in our own words.
import { Agent } from "node:http";
import { join } from "node:path";
import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { socketAddress } from "../config/paths.ts";
import { deadline } from "../lib/abort.ts";
import { BangerError } from "../lib/errors.ts";
import { NetdService } from "./gen/banger/netd/v1/netd_pb.js";
import { controlSocketName } from "./process.ts";

/** Version of the contract that this side speaks. */
export const protocolVersion = 1;
const answerTimeoutMs = 10_000;
const maxReplyBytes = 8 * 1024 * 1024;

export type NetdClient = Client<typeof NetdService>;

/** Of the netd of the VM whose directory this is. Nothing is connected before the first call; each call connects anew. */
export function netdClient(dir: string): NetdClient & Disposable {
  const socket = socketAddress(join(dir, controlSocketName));
  const client = createClient(
    NetdService,
    createConnectTransport({
      httpVersion: "1.1",
      baseUrl: "http://netd",
      // A connection that is kept open could lead to a process that has lost its socket to another one.
      nodeOptions: { socketPath: socket.address, agent: new Agent({ keepAlive: false }) },
      readMaxBytes: maxReplyBytes,
    }),
  );
  return Object.assign(client, { [Symbol.dispose]: () => socket[Symbol.dispose]() });
}

/** One call with a deadline. Throws `network.failed`, `network.policy-invalid` for what netd refuses, or the signal's reason. */
export async function ask<T>(
  what: string,
  options: { signal: AbortSignal },
  call: (options: { signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  using limit = deadline(options.signal, answerTimeoutMs, () => {
    return new BangerError(
      "network.failed",
      `the VM's network did not answer "${what}" within ${answerTimeoutMs / 1000} s`,
    );
  });
  try {
    return await call({ signal: limit.signal });
  } catch (error) {
    limit.signal.throwIfAborted();
    throw failure(what, error);
  }
}

/** The error for what a call threw. */
export function failure(what: string, error: unknown): BangerError {
  if (error instanceof BangerError) return error;
  const { code, rawMessage } = ConnectError.from(error);
  const refused = code === Code.InvalidArgument;
  return new BangerError(
    refused ? "network.policy-invalid" : "network.failed",
    refused ? rawMessage : `the VM's network did not take "${what}": ${rawMessage}`,
    { cause: error },
  );
}
