// What servers say about the credentials that they want.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChallenges } from "./challenge.ts";

const parse = (header: string | undefined) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

test("challenges are read as servers write them", () => {
  assert.deepEqual(
    parse(
      'Bearer realm="https://auth.example/token?a=b,c",service="registry.example",scope="repository:a/b:pull,push"',
    ),
    [
      [
        "bearer",
        { realm: "https://auth.example/token?a=b,c", service: "registry.example", scope: "repository:a/b:pull,push" },
      ],
    ],
  );
  assert.deepEqual(parse('Basic realm="a \\"quoted\\" name", BEARER Realm = x , service=y'), [
    ["basic", { realm: 'a "quoted" name' }],
    ["bearer", { realm: "x", service: "y" }],
  ]);
  assert.deepEqual(parse("Negotiate, Basic"), [
    ["negotiate", {}],
    ["basic", {}],
  ]);
  assert.deepEqual(parse("Negotiate YWJj==, Basic realm=x"), [
    ["negotiate", {}],
    ["basic", { realm: "x" }],
  ]);
  assert.deepEqual(parse('Bearer realm="one",realm="two"'), [["bearer", { realm: "one" }]]);
  assert.deepEqual(parse(undefined), []);
  assert.deepEqual(parse('realm="x"'), []);
  assert.deepEqual(parse('Bearer realm="never ends'), [["bearer", { realm: "" }]]);
  assert.deepEqual(parse(`Bearer realm="${"x".repeat(20_000)}"`), []);
  assert.equal(parse("a, b, c, d, e, f, g, h, i, j, k").length, 8);
});
