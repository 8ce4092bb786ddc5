// Methods on networks that VMs are in together.
import * as v from "valibot";
import { method } from "./method.ts";

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(63));

export const peerNetwork = v.object({
  name: v.string(),
  members: v.array(
    v.object({ vm: v.string(), address: v.pipe(v.string(), v.description("as the others see it")), up: v.boolean() }),
  ),
  createdAt: v.pipe(v.number(), v.description("milliseconds since 1970")),
});
export type PeerNetwork = v.InferOutput<typeof peerNetwork>;

export const peerMethods = {
  "network.create": method({
    kind: "unary",
    summary: "Makes a network that VMs can join. Nothing happens when it is there.",
    params: v.strictObject({ name }),
    result: peerNetwork,
  }),
  "network.list": method({
    kind: "unary",
    summary: "Networks that VMs can join, and who is in them.",
    params: v.strictObject({}),
    result: v.object({ networks: v.array(peerNetwork) }),
  }),
  "network.delete": method({
    kind: "unary",
    summary: "Removes a network that no VM is in.",
    params: v.strictObject({ name }),
    result: v.object({}),
  }),
};
