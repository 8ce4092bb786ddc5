// Methods on the tools that repositories pin, and on workspaces that the host has left behind.
import * as v from "valibot";
import { method } from "./method.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const hostPath = v.pipe(v.string(), v.startsWith("/"), v.maxLength(4096), v.description("absolute path on the host"));

const pin = {
  tool: v.string(),
  version: v.pipe(
    v.nullable(v.string()),
    v.description("as mise takes it; null: no version can be told from the file"),
  ),
  wanted: v.pipe(v.string(), v.description("what the file says")),
  source: v.pipe(v.string(), v.description("name of the file")),
};

export const pinnedTool = v.object(pin);
export type PinnedTool = v.InferOutput<typeof pinnedTool>;

export const guestTool = v.object({
  ...pin,
  found: v.pipe(v.nullable(v.string()), v.description("version that the guest has; null: none")),
  missing: v.pipe(v.boolean(), v.description("the guest does not have what the file asks for")),
});
export type GuestTool = v.InferOutput<typeof guestTool>;

export const workspaceToolMethods = {
  "workspace.toolchain.inspect": method({
    kind: "unary",
    summary: "Which tools the repository that a path lies in pins, and by which files. Nothing of it is run.",
    params: v.strictObject({ path: hostPath }),
    result: v.object({
      root: v.string(),
      tools: v.array(pinnedTool),
      shadowed: v.pipe(v.array(pinnedTool), v.description("pins that another file's come before")),
      files: v.array(v.string()),
    }),
  }),
  "workspace.toolchain.install": method({
    kind: "operation",
    summary: "Looks which of the pinned tools a VM has, and lets its mise install the others when it has a network.",
    params: v.strictObject({ vm: reference }),
    result: v.object({
      tools: v.array(guestTool),
      mise: v.pipe(v.boolean(), v.description("the guest has mise")),
      network: v.boolean(),
      installed: v.pipe(v.boolean(), v.description("mise was run, and ended well")),
      problem: v.pipe(v.string(), v.description("why tools are still missing; empty: none is")),
    }),
  }),
  "workspace.refresh": method({
    kind: "operation",
    summary:
      "Brings a workspace up to date with the host: changed files alone, or all anew when the host has other commits.",
    params: v.strictObject({ vm: reference }),
    result: v.object({}),
  }),
  "workspace.moved.inspect": method({
    kind: "unary",
    summary:
      "Whether the host's repository is on another commit than when a VM's workspace was prepared. Asks no guest.",
    params: v.strictObject({ vm: reference }),
    result: v.object({
      moved: v.pipe(v.boolean(), v.description("false, too, for a VM without a workspace")),
      root: v.nullable(v.string()),
      prepared: v.nullable(v.string()),
      now: v.nullable(v.string()),
    }),
  }),
};
