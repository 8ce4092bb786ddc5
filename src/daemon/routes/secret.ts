// Secrets for VMs.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function secretRoutes({
  services: { secrets },
}: RouteContext): RoutesOf<"secret.set" | "secret.list" | "secret.delete"> {
  return {
    "secret.set": async ({ name, hosts, headers = [], env = null, value = null, command = null }, { signal }) =>
      await secrets.set({ name, hosts, headers, env, value, command }, { signal }),
    "secret.list": () => ({ secrets: secrets.list() }),
    "secret.delete": async ({ name }, { signal }) => {
      await secrets.remove(name, { signal });
      return {};
    },
  };
}
