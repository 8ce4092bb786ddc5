// What guests changed in their workspaces, on its way back.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { vmName } from "./vm-name.ts";

export function workspaceExportRoutes({
  services,
  operations,
}: RouteContext): RoutesOf<`workspace.${"export" | "read" | "apply" | "forget"}`> {
  const { workspaceExports } = services;
  return {
    "workspace.export": (params) =>
      operations.start("workspace.export", vmName(services, params.vm), (progress) =>
        workspaceExports.export(params, progress),
      ),
    "workspace.read": (params, { signal }) => workspaceExports.read(params, signal),
    "workspace.apply": (params) =>
      operations.start("workspace.apply", params.export, (progress) => workspaceExports.apply(params, progress)),
    "workspace.forget": async ({ export: id }) => {
      await workspaceExports.forget(id);
      return {};
    },
  };
}
