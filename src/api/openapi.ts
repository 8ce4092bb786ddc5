// The OpenAPI document of the daemon's wire, made from the table of methods. docs/openapi.json is this text.
import type * as v from "valibot";
import { jsonSchema, type JsonSchema } from "./json-schema.ts";
import type { Method, MethodKind } from "./method.ts";
import { methods } from "./methods.ts";
import { catalogEntry, check, errorBody, imageRecord, kernelRecord, operation, vmRecord } from "./records.ts";

const components = {
  Vm: vmRecord,
  Image: imageRecord,
  Kernel: kernelRecord,
  Operation: operation,
  CatalogEntry: catalogEntry,
  Check: check,
  Error: errorBody,
};
const named = new Map(
  Object.entries(components).map(([name, schema]) => [schema as v.GenericSchema, `#/components/schemas/${name}`]),
);

const paramsHeader = {
  name: "banger-params",
  in: "header",
  required: true,
  description: "base64url of the parameters as JSON",
};

/** The document as text, ending with a newline. */
export function openApiText(): string {
  return `${JSON.stringify(openApi(), null, 2)}\n`;
}

function openApi(): JsonSchema {
  return {
    openapi: "3.1.0",
    info: {
      title: "bangerd",
      version: "1",
      description:
        "HTTP/1.1 on the daemon's unix socket. Every reply names its request in the header banger-operation; the same id stands in the daemon's log.",
    },
    servers: [{ url: "http://localhost", description: "curl --unix-socket <runDir>/bangerd.sock" }],
    paths: Object.fromEntries(
      Object.entries(methods).map(([name, method]) => [`/v1/${name}`, { post: call(name, method) }]),
    ),
    components: { schemas: componentSchemas() },
  };
}

/** Each under its own name: itself in full, the others by reference. */
function componentSchemas(): JsonSchema {
  return Object.fromEntries(
    Object.entries(components).map(([name, schema]) => {
      const others = new Map(named);
      others.delete(schema);
      return [name, jsonSchema(schema, others)];
    }),
  );
}

function call(name: string, method: Method): JsonSchema {
  const params = jsonSchema(method.params, named);
  const inHeader = ["download", "upload", "stream"].includes(method.kind);
  const json = { content: { "application/json": { schema: params } } };
  return {
    operationId: name,
    summary: method.summary,
    "x-banger-kind": method.kind,
    ...(inHeader
      ? { parameters: [{ ...paramsHeader, content: { "application/json": { schema: params } } }] }
      : { requestBody: json }),
    ...(method.kind === "upload" ? { requestBody: { content: bytes } } : {}),
    responses: {
      [method.kind === "stream" ? "101" : "200"]: reply(method),
      default: {
        description: "what failed, and why",
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      },
    },
  };
}

const bytes = { "application/octet-stream": { schema: {} } };
const replyTexts: Record<MethodKind, string> = {
  unary: "the result",
  operation:
    "the operation that was started; operation.watch tells its end, and its result has the schema x-banger-result",
  events: "one JSON line for each event, until it is done or the client leaves",
  download: "the bytes; an error that cuts them short is in the trailer banger-error",
  upload: "the result",
  stream: "frames both ways (src/api/frames.ts): one byte type, four bytes length, payload",
};

function reply(method: Method): JsonSchema {
  const description = replyTexts[method.kind];
  const schema = jsonSchema(method.result, named);
  switch (method.kind) {
    case "unary":
    case "upload":
      return { description, content: { "application/json": { schema } } };
    case "operation":
      return {
        description,
        content: { "application/json": { schema: { $ref: "#/components/schemas/Operation" } } },
        "x-banger-result": schema,
      };
    case "events":
      return { description, content: { "application/x-ndjson": { schema } } };
    case "download":
      return { description, content: bytes };
    case "stream":
      break;
  }
  return { description };
}
