// Repositories that go into VMs.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { vmName } from "./vm-name.ts";

export function workspaceRoutes({
  services,
  operations,
}: RouteContext): RoutesOf<"workspace.inspect" | "workspace.prepare"> {
  return {
    "workspace.inspect": ({ path }, { signal }) => services.workspaces.inspect(path, { signal }),
    "workspace.prepare": (params) =>
      operations.start("workspace.prepare", vmName(services, params.vm), (progress) =>
        services.workspaces.prepare(params, progress),
      ),
  };
}
