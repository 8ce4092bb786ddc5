// The networks of VMs.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function networkRoutes({
  services: { networks, workspaces },
}: RouteContext): RoutesOf<"net.policy" | "net.set" | "net.check" | "net.log" | "net.workspace" | "net.restart"> {
  return {
    "net.policy": ({ vm }) => networks.show(vm),
    "net.set": async ({ vm, change }, { signal }) => await networks.change(vm, change, { signal }),
    "net.check": async ({ vm, ...question }, { signal }) => await networks.check(vm, question, { signal }),
    "net.log": ({ vm, after = 0, follow = false }, { signal }) => networks.log(vm, { after, follow, signal }),
    "net.workspace": async ({ root }) => ({ policy: await workspaces.policy(root) }),
    "net.restart": async ({ vm }, { signal }) => await networks.restart(vm, { signal }),
  };
}
