// Methods on secrets: values that requests of VMs carry without the VMs having them. No reply has a value in it.
import * as v from "valibot";
import { method } from "./method.ts";

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(63));
const words = v.pipe(v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(4096))), v.maxLength(64));

export const secretRecord = v.object({
  name: v.string(),
  hosts: v.array(v.string()),
  headers: v.pipe(v.array(v.string()), v.description("in which the value is put; empty: in any")),
  env: v.pipe(v.nullable(v.string()), v.description("variable of the guest that holds the placeholder")),
  placeholder: v.string(),
  command: v.pipe(v.nullable(v.array(v.string())), v.description("what prints the value; null: it is stored")),
  usedBy: v.pipe(v.array(v.string()), v.description("names of VMs")),
  createdAt: v.pipe(v.number(), v.description("milliseconds since 1970")),
});
export type SecretRecord = v.InferOutput<typeof secretRecord>;

export const secretMethods = {
  "secret.set": method({
    kind: "unary",
    summary: "Makes or replaces a secret. VMs that run with it use the new value from now on.",
    params: v.strictObject({
      name,
      hosts: words,
      headers: v.optional(words),
      env: v.optional(name),
      value: v.optional(v.pipe(v.string(), v.maxLength(16_384))),
      command: v.optional(words),
    }),
    result: secretRecord,
  }),
  "secret.list": method({
    kind: "unary",
    summary: "Secrets by name, without their values.",
    params: v.strictObject({}),
    result: v.object({ secrets: v.array(secretRecord) }),
  }),
  "secret.delete": method({
    kind: "unary",
    summary: "Removes a secret that no VM has.",
    params: v.strictObject({ name }),
    result: v.object({}),
  }),
};
