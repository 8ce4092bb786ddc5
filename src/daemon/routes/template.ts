// Memory templates, and how long starts take with and without them.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

type Names = "template.list" | "template.show" | "template.prune" | "template.warm" | "stats.starts";

export function templateRoutes({ services, operations }: RouteContext): RoutesOf<Names> {
  const { templates } = services;
  return {
    "template.list": () => ({ templates: templates.list() }),
    "template.show": ({ template }) => templates.show(template),
    "template.prune": ({ all = false, dryRun = false }) => templates.prune({ all, dryRun }),
    "template.warm": (params) =>
      operations.start("template.warm", params.image ?? params.kernel ?? "", (progress) =>
        templates.warm(params, progress),
      ),
    "stats.starts": () => services.startStats(),
  };
}
