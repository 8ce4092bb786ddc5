// Routes of kernels: the store does the work.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

type Names = "kernel.list" | "kernel.show" | "kernel.delete" | "kernel.import" | "kernel.pull" | "kernel.catalog";

export function kernelRoutes({ services: { kernels }, operations }: RouteContext): RoutesOf<Names> {
  return {
    "kernel.list": () => ({ kernels: kernels.list() }),
    "kernel.show": ({ kernel }) => kernels.resolve(kernel),
    "kernel.delete": async ({ kernel }) => {
      await kernels.delete(kernel);
      return {};
    },
    "kernel.import": ({ path, name, force = false }) =>
      operations.start("kernel.import", name, (progress) => kernels.importFrom({ path, name, force }, progress)),
    "kernel.pull": ({ name, force = false }) =>
      operations.start("kernel.pull", name, (progress) => kernels.pull(name, { force }, progress)),
    "kernel.catalog": () => ({ entries: kernels.catalog() }),
  };
}
