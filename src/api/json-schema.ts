// JSON Schema of the valibot schemas that this folder uses; a kind that it does not know is an error, so none gets lost.
import type * as v from "valibot";

export type JsonSchema = { [key: string]: unknown };

type Schema = v.GenericSchema & {
  pipe?: readonly Action[];
  entries?: Record<string, v.GenericSchema>;
  wrapped?: v.GenericSchema;
  item?: v.GenericSchema;
  options?: readonly unknown[];
  literal?: unknown;
  value?: v.GenericSchema;
};

interface Action {
  kind: string;
  type: string;
  requirement?: unknown;
  description?: string;
}

/** Schemas that stand elsewhere in the document, by the reference to them. */
export type Named = ReadonlyMap<v.GenericSchema, string>;

const none: Named = new Map();

/** Throws for a kind of schema or action that it does not know. */
export function jsonSchema(generic: v.GenericSchema, named: Named = none): JsonSchema {
  const reference = named.get(generic);
  if (reference !== undefined) return { $ref: reference };
  const schema = generic as Schema;
  return (schema.pipe?.slice(1) ?? []).reduce<JsonSchema>(
    (made, action) => ({ ...made, ...keywords(action, schema.type) }),
    base(schema, named),
  );
}

function base(schema: Schema, named: Named): JsonSchema {
  switch (schema.type) {
    case "string":
    case "number":
    case "boolean":
      return { type: schema.type };
    case "unknown":
      return {};
    case "literal":
      return { const: schema.literal };
    case "picklist":
      return { enum: schema.options };
    case "optional":
      return jsonSchema(inner(schema.wrapped), named);
    case "nullable":
      return { anyOf: [jsonSchema(inner(schema.wrapped), named), { type: "null" }] };
    case "array":
      return { type: "array", items: jsonSchema(inner(schema.item), named) };
    case "record":
      return { type: "object", additionalProperties: jsonSchema(inner(schema.value), named) };
    case "union":
      return { anyOf: (schema.options as v.GenericSchema[]).map((option) => jsonSchema(option, named)) };
    case "object":
    case "strict_object":
      return objectSchema(schema, named);
    default:
      throw new Error(`no JSON schema for "${schema.type}"`);
  }
}

function objectSchema(schema: Schema, named: Named): JsonSchema {
  const entries = Object.entries(schema.entries ?? {});
  const required = entries.filter(([, entry]) => entry.type !== "optional").map(([name]) => name);
  return {
    type: "object",
    properties: Object.fromEntries(entries.map(([name, entry]) => [name, jsonSchema(entry, named)])),
    ...(required.length === 0 ? {} : { required }),
    ...(schema.type === "strict_object" ? { additionalProperties: false } : {}),
  };
}

function keywords(action: Action, type: string): JsonSchema {
  const { requirement } = action;
  switch (action.type) {
    case "description":
      return { description: action.description };
    case "integer":
      return { type: "integer" };
    case "min_value":
      return { minimum: requirement };
    case "max_value":
      return { maximum: requirement };
    case "min_length":
      return { [type === "array" ? "minItems" : "minLength"]: requirement };
    case "max_length":
      return { [type === "array" ? "maxItems" : "maxLength"]: requirement };
    case "max_entries":
      return { maxProperties: requirement };
    case "regex":
      return { pattern: (requirement as RegExp).source };
    case "starts_with":
      return { pattern: `^${String(requirement)}` };
    default:
      throw new Error(`no JSON schema keyword for "${action.type}"`);
  }
}

function inner(schema: v.GenericSchema | undefined): v.GenericSchema {
  if (schema === undefined) throw new Error("a schema without its inner schema");
  return schema;
}
