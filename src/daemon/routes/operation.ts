// Long work that is under way or has ended.
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function operationRoutes({
  operations,
}: RouteContext): RoutesOf<"operation.list" | "operation.show" | "operation.watch" | "operation.cancel"> {
  return {
    "operation.list": () => ({ operations: operations.list() }),
    "operation.show": ({ id }) => operations.show(id),
    "operation.watch": ({ id }, { signal }) => operations.watch(id, { signal }),
    "operation.cancel": ({ id, undo }) => operations.cancel(id, { undoAll: undo ?? false }),
  };
}
