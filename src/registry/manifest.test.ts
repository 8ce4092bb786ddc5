// One document, one kind: header and content of a manifest have to agree.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mediaTypeOf } from "./manifest.ts";

const oci = "application/vnd.oci.image.manifest.v1+json";
const index = "application/vnd.oci.image.index.v1+json";
const docker = "application/vnd.docker.distribution.manifest.v2+json";
const list = "application/vnd.docker.distribution.manifest.list.v2+json";
const typeOf = (document: unknown, header?: string) =>
  mediaTypeOf(Buffer.from(typeof document === "string" ? document : JSON.stringify(document)), header, "the image");

test("the type comes from header and content", () => {
  assert.equal(typeOf({ mediaType: oci, layers: [] }, oci), oci);
  assert.equal(typeOf({ layers: [] }, `${oci}; charset=utf-8`), oci);
  assert.equal(typeOf({ mediaType: docker, layers: [] }, "application/json"), docker);
  assert.equal(typeOf({ mediaType: list, manifests: [] }, list), list);
  assert.equal(typeOf({ manifests: [] }, undefined), index);
  assert.equal(typeOf({ layers: [] }, "text/plain"), oci);
});

test("what is of two kinds, or of none, is refused", () => {
  const cases: [unknown, string | undefined, RegExp][] = [
    [{ mediaType: oci, layers: [] }, index, /it says .*manifest.v1.*, its header .*index/],
    [{ mediaType: oci, layers: [], manifests: [] }, oci, /both an index and a manifest/],
    [{ manifests: [] }, oci, /does not fit its type/],
    [{ layers: [] }, list, /does not fit its type/],
    [{ mediaType: 7, layers: [] }, oci, /mediaType is no text/],
    [{ schemaVersion: 1 }, "application/vnd.docker.distribution.manifest.v1+prettyjws", /old schema 1/],
    [{ layers: [] }, "text/html", /its type is "text\/html"/],
    ["<html>", "text/html", /not JSON/],
    ["[]", oci, /not an object/],
    ["null", oci, /not an object/],
  ];
  for (const [document, header, why] of cases) {
    assert.throws(
      () => typeOf(document, header),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "image.invalid");
        assert.match(error.message, why);
        return true;
      },
    );
  }
});
