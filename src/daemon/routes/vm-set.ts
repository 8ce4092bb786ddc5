// Changes of what VMs are made of.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { vmName } from "./vm-name.ts";

export function vmSetRoutes({ services, operations }: RouteContext): RoutesOf<"vm.set"> {
  return {
    "vm.set": ({ vm, ...change }) =>
      operations.start("vm.set", vmName(services, vm), (progress) => services.vms.set(vm, change, progress)),
  };
}
