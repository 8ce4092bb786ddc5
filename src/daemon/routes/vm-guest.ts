// Looks into running VMs.
import { deadline, orAborted } from "../../lib/abort.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

const pingTimeoutMs = 5000;

export function vmGuestRoutes({
  services: { looks, vms },
}: RouteContext): RoutesOf<"vm.stats" | "vm.processes" | "vm.ports" | "vm.ping" | "vm.health"> {
  return {
    "vm.stats": async ({ vms: refs }, { signal }) => ({ vms: await looks.stats(refs, { signal }) }),
    "vm.processes": async ({ vm, intervalMs = 0 }, { signal }) => {
      const { agent } = await vms.agent(vm);
      return await agent.processes({ intervalMs, signal });
    },
    "vm.ports": ({ vm, follow = false }, { signal }) => looks.ports(vm, { follow, signal }),
    "vm.health": async ({ vm }, { signal }) => {
      // As for a ping: a reference that names no VM is the caller's mistake; all else is an answer.
      vms.show(vm);
      try {
        return await vms.health(vm, { signal });
      } catch (error) {
        signal.throwIfAborted();
        return { healthy: false, reason: toBangerError(error).message, uptimeMs: 0 };
      }
    },
    "vm.ping": async ({ vm }, { signal }) => {
      // A reference that names no VM is the caller's mistake; all else is an answer.
      vms.show(vm);
      using limit = deadline(signal, pingTimeoutMs, () => new BangerError("timeout", "no answer within 5 s"));
      const began = performance.now();
      try {
        const { agent } = await orAborted(vms.agent(vm), limit.signal);
        await agent.hello({ signal: limit.signal });
        return { alive: true, roundTripMs: Math.round((performance.now() - began) * 10) / 10, reason: "" };
      } catch (error) {
        signal.throwIfAborted();
        return { alive: false, roundTripMs: null, reason: toBangerError(error).message };
      }
    },
  };
}
