// Puts workspaces into the guest, updates them, and asks what the guest has changed in them.
import type { Readable } from "node:stream";
import type { FileChange, GuestWork, WorkspaceCalls } from "./agent.ts";
import { upload } from "./files.ts";
import { fileFailure, label } from "./failure.ts";
import type { GuestWork as WireWork } from "./gen/banger/agent/v1/agent_pb.js";
import type { GuestSession } from "./session.ts";
import { unary } from "./unary.ts";

/** Changes in one message: some tens of KiB. */
const changesPerMessage = 200;

/** The workspace methods of one session's agent. */
export function workspaceCalls(session: GuestSession): WorkspaceCalls {
  const { workspaces } = session.clients;
  return {
    async lookAtWorkspace({ path, metaPath }, options) {
      const reply = await unary(session, fileFailure, options, (call) => workspaces.look({ path, metaPath }, call));
      return {
        exists: reply.exists,
        known: reply.known,
        work: workOf(reply.work),
        head: label(reply.head),
        headCommit: /^[0-9a-f]{40,64}$/.test(reply.headCommit) ? reply.headCommit : "",
      };
    },
    async placeWorkspace({ path, metaPath, newMetaPath, force }, tar, options) {
      const reply = await upload({
        session,
        options,
        content: tar,
        open: [{ message: { case: "open" as const, value: { path, metaPath, newMetaPath, force } } }],
        data: (value) => ({ message: { case: "data" as const, value } }),
        start: (requests, call) => workspaces.place(requests, call),
      });
      return { placed: reply.placed, work: workOf(reply.work) };
    },
    async updateWorkspace({ path, metaPath, force, changes }, tar: Readable, options) {
      const reply = await upload({
        session,
        options,
        content: tar,
        open: [
          { message: { case: "open" as const, value: { path, metaPath, force } } },
          ...pieces(changes).map((some) => ({
            message: { case: "changes" as const, value: { changes: some.map(wireChange) } },
          })),
        ],
        data: (value) => ({ message: { case: "data" as const, value } }),
        start: (requests, call) => workspaces.update(requests, call),
      });
      return { applied: reply.applied, conflicts: reply.conflicts.filter((at) => at < changes.length) };
    },
  };
}

function* slices<T>(list: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += changesPerMessage) yield list.slice(at, at + changesPerMessage);
}

const pieces = <T>(list: readonly T[]) => [...slices(list)];

function wireChange({ path, oldMode, oldId, newMode, newId }: FileChange) {
  return { path, oldMode, oldId: Buffer.from(oldId, "hex"), newMode, newId: Buffer.from(newId, "hex") };
}

function workOf(work: WireWork | undefined): GuestWork {
  return {
    count: Number(work?.count ?? 0n),
    paths: (work?.paths ?? []).slice(0, 200).map((path) => Buffer.from(path)),
    refs: (work?.refs ?? []).slice(0, 200).map(label),
  };
}
