// Room on this host.
import { DiskUseOf } from "../disk-use.ts";
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function systemRoutes({ services, operations, paths }: RouteContext): RoutesOf<"system.df" | "system.prune"> {
  const use = new DiskUseOf(services, paths);
  return {
    "system.df": async () => ({
      use: await use.list(),
      stateFreeBytes: use.freeBytes(),
      stateDir: paths.stateDir,
      cacheDir: paths.cacheDir,
    }),
    "system.prune": ({ all = false, dryRun = false }) =>
      operations.start("system.prune", "", async (progress) => {
        const removed = await use.prune({ all, dryRun }, progress);
        return { removed, freedBytes: removed.reduce((sum, { freedBytes }) => sum + freedBytes, 0) };
      }),
  };
}
