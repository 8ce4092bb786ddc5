// Tools that repositories pin, and workspaces that the host has left behind.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { vmName } from "./vm-name.ts";

type Names = "workspace.toolchain.inspect" | "workspace.toolchain.install" | "workspace.stale.inspect";

export function workspaceToolRoutes({ services, operations }: RouteContext): RoutesOf<Names> {
  const { workspaceTools } = services;
  return {
    "workspace.toolchain.inspect": ({ path }, { signal }) => workspaceTools.inspect(path, signal),
    "workspace.toolchain.install": (params) =>
      operations.start("workspace.toolchain.install", vmName(services, params.vm), (progress) =>
        workspaceTools.install(params, progress),
      ),
    "workspace.stale.inspect": ({ vm }, { signal }) => workspaceTools.stale(vm, signal),
  };
}
