// Methods on logins to registries. The table of all methods takes them in.
import * as v from "valibot";
import { method } from "./method.ts";

const registryHost = v.pipe(v.string(), v.minLength(1), v.maxLength(300));

export const registryMethods = {
  "registry.login": method({
    kind: "unary",
    summary: "Proves credentials at a registry and keeps them.",
    params: v.strictObject({
      /** Host, with a port if need be: "docker.io", "localhost:5000". */
      registry: registryHost,
      username: v.pipe(v.string(), v.maxLength(1024)),
      password: v.pipe(v.string(), v.maxLength(64 * 1024)),
      /** Host besides the registry that may get them, to check them. */
      realm: v.optional(registryHost),
      /** Plain HTTP and any certificate are fine. Default: plain HTTP with this machine only. */
      insecure: v.optional(v.boolean()),
    }),
    result: v.object({ registry: v.string() }),
  }),
  "registry.logout": method({
    kind: "unary",
    summary: "Forgets the credentials for a registry.",
    params: v.strictObject({ registry: registryHost }),
    result: v.object({
      registry: v.string(),
      /** False when nothing was kept. */
      removed: v.boolean(),
    }),
  }),
} as const;
