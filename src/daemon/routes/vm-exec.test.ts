// Where a command starts that says nothing of it.
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { FrameSocket } from "../../api/frame-socket.ts";
import type { ParamsOf } from "../../api/methods.ts";
import type { ExecSpec } from "../../guest/agent.ts";
import { Activity } from "../../vm/activity.ts";
import type { CallContext } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { execRoute } from "./vm-exec.ts";

/** The directory that the agent was asked for. */
async function cwdOf(params: Partial<ParamsOf<"vm.exec">>, guestPath?: string): Promise<string | undefined> {
  let asked: ExecSpec | undefined;
  const agent = {
    async exec(spec: ExecSpec) {
      asked = spec;
      throw new Error("enough");
    },
  };
  const workspace = guestPath === undefined ? null : { guestPath: "/w", workdir: guestPath };
  const vms = { agent: async () => ({ agent, record: { id: "v1", workspace } }), activity: new Activity() };
  const route = execRoute({ services: { vms } } as unknown as RouteContext);
  const call = { signal: new AbortController().signal } as CallContext;
  using socket = new FrameSocket(new PassThrough());
  await assert.rejects(async () => route({ vm: "box", argv: ["pwd"], ...params }, socket, call), /enough/);
  return asked?.cwd;
}

test("root works where the repository was put", async () => {
  assert.equal(await cwdOf({}, "/root/repo"), "/root/repo");
  assert.equal(await cwdOf({}), undefined);
});

test("a directory that was named wins; another user starts at home", async () => {
  assert.equal(await cwdOf({ cwd: "/tmp" }, "/root/repo"), "/tmp");
  assert.equal(await cwdOf({ user: "dev" }, "/root/repo"), undefined);
});
