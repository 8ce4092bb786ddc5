// Routes of the settings.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function configRoutes({ services }: RouteContext): RoutesOf<"config.show"> {
  return { "config.show": () => services.config() };
}
