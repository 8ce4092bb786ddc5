// Networks that VMs are in together.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function peerRoutes({
  services: { peers },
}: RouteContext): RoutesOf<"network.create" | "network.list" | "network.delete"> {
  return {
    "network.create": ({ name }) => peers.create(name),
    "network.list": () => ({ networks: peers.list() }),
    "network.delete": ({ name }) => {
      peers.remove(name);
      return {};
    },
  };
}
