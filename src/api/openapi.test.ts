// The published document is the one that the table of methods makes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as v from "valibot";
import { jsonSchema } from "./json-schema.ts";
import { methods } from "./methods.ts";
import { openApiText } from "./openapi.ts";

test("docs/openapi.json is current (make generate)", () => {
  const file = join(import.meta.dirname, "../../docs/openapi.json");
  assert.equal(readFileSync(file, "utf8"), openApiText());
});

test("every method is in it", () => {
  const { paths } = JSON.parse(openApiText()) as { paths: Record<string, unknown> };
  assert.deepEqual(
    Object.keys(paths),
    Object.keys(methods).map((name) => `/v1/${name}`),
  );
});

test("schemas become JSON schemas", () => {
  const schema = v.strictObject({
    name: v.pipe(v.string(), v.minLength(1), v.startsWith("/")),
    count: v.optional(v.pipe(v.number(), v.integer(), v.maxValue(9))),
    list: v.pipe(v.array(v.boolean()), v.maxLength(3)),
    either: v.union([v.literal("a"), v.nullable(v.picklist(["b"]))]),
  });
  assert.deepEqual(jsonSchema(schema), {
    type: "object",
    properties: {
      name: { type: "string", minLength: 1, pattern: "^/" },
      count: { type: "integer", maximum: 9 },
      list: { type: "array", items: { type: "boolean" }, maxItems: 3 },
      either: { anyOf: [{ const: "a" }, { anyOf: [{ enum: ["b"] }, { type: "null" }] }] },
    },
    required: ["name", "list", "either"],
    additionalProperties: false,
  });
});

test("a schema kind that nobody has translated is an error", () => {
  assert.throws(() => jsonSchema(v.date()), /date/);
  assert.throws(() => jsonSchema(v.pipe(v.string(), v.email())), /email/);
});
