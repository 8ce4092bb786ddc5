// Methods on ports and sockets of the host that lead into VMs, and on the names of VMs.
import * as v from "valibot";
import { method } from "./method.ts";
import { forward } from "./records.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const endpoint = v.pipe(v.string(), v.minLength(1), v.maxLength(256));

export const newForward = v.strictObject({
  listen: v.optional(
    v.pipe(
      endpoint,
      v.description("port, address:port or absolute path of a socket; port 0, or left out: a free one of 127.0.0.1"),
    ),
  ),
  target: v.pipe(endpoint, v.description("port of the guest's loopback, or absolute path of a socket in it")),
});
export type NewForward = v.InferOutput<typeof newForward>;
export const newForwards = v.pipe(v.array(newForward), v.maxLength(64));

export const forwardState = v.object({
  ...forward.entries,
  listening: v.boolean(),
  problem: v.pipe(v.string(), v.description("why it does not listen although the VM runs; else empty")),
  connections: v.pipe(v.number(), v.description("open now")),
});
export type ForwardState = v.InferOutput<typeof forwardState>;

const forwards = v.object({ forwards: v.array(forwardState) });

export const forwardMethods = {
  "vm.forward": method({
    kind: "unary",
    summary: "Makes ports and sockets of the host lead into a running VM, until it stops. All of them, or none.",
    params: v.strictObject({ vm: reference, add: newForwards }),
    result: forwards,
  }),
  "vm.unforward": method({
    kind: "unary",
    summary: "Removes some of what listens for a VM; open connections end.",
    params: v.strictObject({
      vm: reference,
      remove: v.pipe(
        v.array(v.pipe(endpoint, v.description("what it listens on, the port of that alone, or listen:target"))),
        v.maxLength(64),
      ),
    }),
    result: forwards,
  }),
  "vm.forwards": method({
    kind: "unary",
    summary: "What listens for a VM.",
    params: v.strictObject({ vm: reference }),
    result: forwards,
  }),
};
