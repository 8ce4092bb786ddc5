// Ports and sockets of the host that lead into VMs.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function forwardRoutes({
  services: { forwards },
}: RouteContext): RoutesOf<"vm.forward" | "vm.unforward" | "vm.forwards"> {
  return {
    "vm.forward": async ({ vm, add }, { signal }) => ({ forwards: await forwards.add(vm, add, { signal }) }),
    "vm.unforward": async ({ vm, remove }, { signal }) => ({ forwards: await forwards.remove(vm, remove, { signal }) }),
    "vm.forwards": ({ vm }) => ({ forwards: forwards.list(vm) }),
  };
}
