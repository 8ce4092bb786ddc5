// Snapshots of VMs.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { vmName } from "./vm-name.ts";

type Names = "snapshot.create" | "snapshot.list" | "snapshot.show" | "snapshot.delete" | "image.warm";

export function snapshotRoutes({ services, operations }: RouteContext): RoutesOf<Names> {
  const { snapshots } = services;
  return {
    "snapshot.create": (params) =>
      operations.start("snapshot.create", vmName(services, params.vm), (progress) =>
        snapshots.create(params, progress),
      ),
    "snapshot.list": ({ vm }) => ({ snapshots: snapshots.list(vm) }),
    "snapshot.show": ({ snapshot }) => snapshots.show(snapshot),
    "snapshot.delete": async ({ snapshot }, { signal }) => {
      await snapshots.delete(snapshot, { signal });
      return {};
    },
    "image.warm": (params) =>
      operations.start("image.warm", params.image, (progress) => snapshots.warm(params, progress)),
  };
}
