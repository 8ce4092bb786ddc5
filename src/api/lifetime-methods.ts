// When a VM ends by itself.
import * as v from "valibot";
import { method } from "./method.ts";
import { lifetime, vmRecord } from "./records.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
/** At least a second, at most ten years. */
const span = v.pipe(v.number(), v.integer(), v.minValue(1000), v.maxValue(10 * 366 * 86_400_000));

/** What a VM is made with; without action it is stopped. */
export const newLifetime = v.strictObject({
  ttlMs: v.optional(v.pipe(span, v.description("milliseconds after its creation"))),
  idleTimeoutMs: v.optional(
    v.pipe(span, v.description("milliseconds without exec, SSH and forwarded connections, while it runs")),
  ),
  action: v.optional(lifetime.entries.action),
});

export const lifetimeMethods = {
  "vm.touch": method({
    kind: "unary",
    summary: "Counts as use of a VM: its idle time begins anew; with ttlMs that, too, is counted from now.",
    params: v.strictObject({ vm: reference, ttlMs: v.optional(span) }),
    result: vmRecord,
  }),
};
