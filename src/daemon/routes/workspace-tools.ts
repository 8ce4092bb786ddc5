// Tools that repositories pin, and workspaces that the host has left behind.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { vmName } from "./vm-name.ts";

type Names = `workspace.toolchain.${"inspect" | "install"}` | "workspace.moved.inspect" | "workspace.refresh";

export function workspaceToolRoutes({ services, operations }: RouteContext): RoutesOf<Names> {
  const { workspaceTools, workspaces } = services;
  return {
    "workspace.toolchain.inspect": ({ path }, { signal }) => workspaceTools.inspect(path, signal),
    "workspace.toolchain.install": (params) =>
      operations.start("workspace.toolchain.install", vmName(services, params.vm), (progress) =>
        workspaceTools.install(params, progress),
      ),
    "workspace.moved.inspect": async ({ vm }, { signal }) => {
      const { workspace } = services.vms.show(vm);
      if (workspace === null) return { moved: false, root: null, prepared: null, now: null };
      const { root, headCommit: prepared } = workspace;
      // A repository that is gone has not moved: it is the export that has to tell that.
      const found = await workspaces.hostMoved(vm, { signal }).catch(() => undefined);
      return { moved: found?.moved ?? false, root, prepared, now: found?.headCommit ?? null };
    },
    "workspace.refresh": (params) =>
      operations.start("workspace.refresh", vmName(services, params.vm), async (progress) => {
        await workspaces.refresh(params.vm, progress);
        return {};
      }),
  };
}
