// Repositories that go into VMs.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { vmName } from "./vm-name.ts";

export function workspaceRoutes({
  services,
  operations,
}: RouteContext): RoutesOf<
  | "workspace.inspect"
  | "workspace.plan"
  | "workspace.prepare"
  | "workspace.status"
  | "workspace.sync"
  | "workspace.watch"
> {
  return {
    "workspace.inspect": (params, { signal }) => services.workspaces.inspect(params, { signal }),
    "workspace.plan": (params, { signal }) => services.workspaces.plan(params, { signal }),
    "workspace.status": ({ vm }, { signal }) => services.workspaces.status(vm, { signal }),
    "workspace.sync": ({ vm, force = false }, { signal }) => services.workspaces.sync(vm, { force, signal }),
    "workspace.watch": ({ vm, force = false }, { signal }) => services.workspaces.watch(vm, { force, signal }),
    "workspace.prepare": (params) =>
      operations.start("workspace.prepare", vmName(services, params.vm), (progress) =>
        services.workspaces.prepare(params, progress),
      ),
  };
}
