// Reads and writes files and directory trees of the guest.
import { Code, ConnectError } from "@connectrpc/connect";
import type { Readable } from "node:stream";
import type { CallOptions, GuestAgent, GuestFileInfo } from "./agent.ts";
import { StreamingCall, readableOf } from "./call.ts";
import { fileFailure, reasonOf } from "./failure.ts";
import type { FileInfo } from "./gen/banger/agent/v1/agent_pb.js";
import { Requests } from "./requests.ts";
import type { GuestSession } from "./session.ts";
import { pump } from "./source.ts";
import { unary } from "./unary.ts";

type FileCalls = Pick<GuestAgent, "stat" | "list" | "readFile" | "writeFile" | "readTar" | "writeTar">;

/** The file methods of one session's agent. */
export function fileCalls(session: GuestSession): FileCalls {
  const { files, fileStreams } = session.clients;
  return {
    async stat(path, options) {
      const reply = await unary(session, fileFailure, options, (call) =>
        files.stat({ path, follow: options.follow ?? true }, call),
      );
      if (reply.info === undefined) throw session.violation("stat answered nothing");
      return fileInfo(reply.info);
    },
    async list(path, options) {
      const reply = await unary(session, fileFailure, options, (call) => files.list({ path }, call));
      return { entries: reply.entries.map(fileInfo), truncated: reply.truncated };
    },
    readFile: (path, options) => download(session, options, (signal) => fileStreams.read({ path }, { signal })),
    readTar: (path, options) => download(session, options, (signal) => fileStreams.readTar({ path }, { signal })),
    async writeFile(path, content, options) {
      await upload({
        session,
        options,
        content,
        open: [{ message: { case: "open" as const, value: { path, mode: options.mode ?? 0 } } }],
        data: (value) => ({ message: { case: "data" as const, value } }),
        start: (requests, call) => fileStreams.write(requests, call),
      });
    },
    async writeTar(directory, tar, options) {
      const reply = await upload({
        session,
        options,
        content: tar,
        open: [{ message: { case: "open" as const, value: { directory, keepOwners: options.keepOwners ?? false } } }],
        data: (value) => ({ message: { case: "data" as const, value } }),
        start: (requests, call) => fileStreams.writeTar(requests, call),
      });
      return { entries: Number(reply.entries) };
    },
  };
}

function fileInfo(info: FileInfo): GuestFileInfo {
  return {
    name: Buffer.from(info.name).toString("utf8"),
    mode: info.mode,
    uid: info.uid,
    gid: info.gid,
    sizeBytes: Number(info.sizeBytes),
    modifiedMs: Number(info.modifiedUnixNanos / 1_000_000n),
    linkTarget: Buffer.from(info.linkTarget).toString("utf8"),
  };
}

async function download(
  session: GuestSession,
  options: CallOptions,
  start: (signal: AbortSignal) => AsyncIterable<{ data: Uint8Array }>,
): Promise<Readable> {
  if (options.signal.aborted) throw reasonOf(options.signal);
  const call = new StreamingCall<never, { data: Uint8Array }>({
    session,
    codes: fileFailure,
    signal: options.signal,
    start: (_, signal) => start(signal),
  });
  return readableOf(call, (reply) => reply.data);
}

interface Upload<Open, Data, Reply> {
  session: GuestSession;
  options: CallOptions;
  /** Read to its end; destroyed when the upload fails. */
  content: Readable;
  /** Sent before the content. */
  open: Open[];
  data: (bytes: Uint8Array) => Data;
  start: (requests: AsyncIterable<Open | Data>, call: { signal: AbortSignal }) => Promise<Reply>;
}

/** A content that fails cancels the call, so that the agent keeps nothing of it. */
export async function upload<Open, Data, Reply>(setup: Upload<Open, Data, Reply>): Promise<Reply> {
  const { session, content, options } = setup;
  const requests = new Requests<Open | Data>();
  const controller = new AbortController();
  const onAbort = () => controller.abort(new ConnectError("cancelled", Code.Canceled));
  options.signal.addEventListener("abort", onAbort, { once: true });
  if (options.signal.aborted) onAbort();
  for (const message of setup.open) void requests.send(message);
  let contentFailure: Error | undefined;
  const source = pump(content, (bytes) => requests.send(setup.data(bytes)));
  source.ended.then(
    () => requests.end(),
    (error: Error) => {
      contentFailure = error;
      onAbort();
    },
  );
  try {
    return await setup.start(requests, { signal: controller.signal });
  } catch (error) {
    content.destroy();
    throw contentFailure ?? (await session.failure(error, fileFailure, options.signal));
  } finally {
    source.stop();
    requests.abandon();
    options.signal.removeEventListener("abort", onAbort);
  }
}
