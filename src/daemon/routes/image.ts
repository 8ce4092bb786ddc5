// Routes of images: the store does the work.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

type Names = "image.list" | "image.show" | "image.delete" | "image.import" | "image.pull" | "image.catalog";

export function imageRoutes({ services: { images }, operations }: RouteContext): RoutesOf<Names> {
  return {
    "image.list": () => ({ images: images.list() }),
    "image.show": ({ image }) => images.resolve(image),
    "image.delete": async ({ image }) => {
      await images.delete(image);
      return {};
    },
    "image.import": ({ path, name, force = false }) =>
      operations.start("image.import", name, (progress) => images.importTar({ path, name, force }, progress)),
    "image.pull": ({ name, force = false }) =>
      operations.start("image.pull", name, (progress) => images.pull(name, { force }, progress)),
    "image.catalog": () => ({ entries: images.catalog() }),
  };
}
