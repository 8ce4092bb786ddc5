// Names and labels of VMs, and the wait for a change.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function vmRecordRoutes({
  services: { vms },
}: RouteContext): RoutesOf<"vm.rename" | "vm.label" | "vm.touch" | "vm.wait" | "vm.events"> {
  return {
    "vm.rename": ({ vm, name }) => vms.rename(vm, name),
    "vm.label": ({ vm, ...change }) => vms.label(vm, change),
    "vm.touch": ({ vm, ...options }) => vms.touch(vm, options),
    "vm.wait": async ({ vm, for: condition, timeoutMs }, { signal }) => ({
      vm: (await vms.wait(vm, condition, { signal, timeoutMs })) ?? null,
    }),
    "vm.events": ({ vm }, { signal }) => vms.events(vm, signal),
  };
}
