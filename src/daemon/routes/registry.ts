// Routes of registries: logins. What they have is pulled by the routes of images.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function registryRoutes({ services: { logins } }: RouteContext): RoutesOf<"registry.login" | "registry.logout"> {
  return {
    "registry.login": (params, { signal }) => logins.login(params, { signal }),
    "registry.logout": (params, { signal }) => logins.logout(params, { signal }),
  };
}
