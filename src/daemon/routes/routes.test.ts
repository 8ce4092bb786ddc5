// Every method of the contract has a route, and no route is without a method.
import assert from "node:assert/strict";
import { test } from "node:test";
import { methods } from "../../api/methods.ts";
import type { RouteContext } from "./context.ts";
import { buildRoutes } from "./index.ts";

test("routes and methods are the same names", () => {
  const routes = buildRoutes({ services: {}, paths: {}, build: {} } as RouteContext);
  assert.deepEqual(Object.keys(routes).toSorted(), Object.keys(methods).toSorted());
});
