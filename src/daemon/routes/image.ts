// Routes of images: the store does the work.
import { BangerError } from "../../lib/errors.ts";
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

type Names =
  | `image.${"list" | "show" | "inspect" | "history" | "delete" | "tag" | "untag" | "catalog"}`
  | `image.${"import" | "pull" | "export" | "register" | "promote"}`
  | `image.cache.${"list" | "verify" | "prune"}`;

export function imageRoutes({ services: { images }, operations }: RouteContext): RoutesOf<Names> {
  return {
    "image.list": () => ({ images: images.list() }),
    "image.show": ({ image }) => images.resolve(image),
    "image.inspect": ({ image }) => images.inspect(image),
    "image.history": async ({ image }) => ({ history: await images.history(image) }),
    "image.delete": async ({ image }) => {
      await images.delete(image);
      return {};
    },
    "image.tag": ({ image, name, force }) => images.tag(image, name, { force }),
    "image.untag": ({ name }) => images.untag(name),
    "image.import": (params) => {
      if ((params.path === undefined) === (params.engine === undefined)) {
        throw new BangerError("request.invalid", "an import is either from a path or from an engine");
      }
      const target = params.name ?? params.reference ?? params.shown ?? params.path ?? "";
      return operations.start("image.import", target, (progress) => images.importFrom(params, progress));
    },
    "image.pull": ({ name, ...options }) =>
      operations.start("image.pull", name, (progress) => images.pull(name, options, progress)),
    "image.export": (params) =>
      operations.start("image.export", params.image, (progress) => images.export(params, progress)),
    "image.register": ({ path, name, force = false }) =>
      operations.start("image.register", name, (progress) => images.register({ path, name, force }, progress)),
    "image.promote": ({ image }) =>
      operations.start("image.promote", image, (progress) => images.promote(image, progress)),
    "image.cache.list": async () => ({ directory: images.cache.directory, blobs: await images.cache.list() }),
    "image.cache.verify": () =>
      operations.start("image.cache.verify", images.cache.directory, ({ signal, stage, bytes }) => {
        stage("verify");
        return images.cache.verify({ signal, onBytes: bytes });
      }),
    "image.cache.prune": async ({ dryRun = false }) => ({
      directory: images.cache.directory,
      ...(await images.cache.prune({ dryRun })),
    }),
    "image.catalog": () => ({ entries: images.catalog() }),
  };
}
