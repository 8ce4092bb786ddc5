// Platforms: how they are written, which variant serves which, and which manifest of an index is taken.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { IndexEntry } from "./manifest.ts";
import { choose, fitness, formatPlatform, parsePlatform } from "./platform.ts";

test("written as os/architecture/variant, or the architecture alone", () => {
  for (const [text, shown] of [
    ["linux/amd64", "linux/amd64"],
    ["arm64", "linux/arm64"],
    ["linux/arm/v7", "linux/arm/v7"],
    ["linux/x86_64", "linux/amd64"],
    ["Linux/AARCH64", "linux/arm64"],
  ] as const) {
    assert.equal(formatPlatform(parsePlatform(text)), shown);
  }
  for (const text of ["", "windows/amd64", "linux/", "linux/amd64/", "linux/a/b/c", "linux/a b", "darwin/arm64"]) {
    assert.throws(() => parsePlatform(text), { code: "request.invalid" }, text);
  }
});

const entry = (platform: string | undefined): IndexEntry => {
  const [os = "", architecture = "", variant] = platform?.split("/") ?? [];
  return {
    mediaType: "m",
    digest: platform ?? "none",
    sizeBytes: 1,
    annotations: {},
    platform: platform === undefined ? undefined : { os, architecture, variant },
  };
};

test("an exact variant before a missing one before an older one; never a newer one", () => {
  const pick = (wanted: string, ...offered: string[]) => choose(offered.map(entry), parsePlatform(wanted), "x").digest;
  assert.equal(pick("arm64", "linux/arm64", "linux/arm64/v8"), "linux/arm64/v8");
  assert.equal(pick("amd64", "linux/amd64/v3", "linux/amd64"), "linux/amd64");
  assert.equal(pick("linux/arm/v7", "linux/arm/v5", "linux/arm/v6"), "linux/arm/v6");
  assert.equal(pick("linux/amd64/v3", "linux/amd64/v2", "linux/amd64/v3"), "linux/amd64/v3");
  assert.equal(pick("amd64", "unknown/unknown", "linux/amd64"), "linux/amd64");
  assert.equal(fitness({ os: "linux", architecture: "arm", variant: "v8" }, parsePlatform("linux/arm/v7")), 0);
  assert.equal(fitness({ os: "linux", architecture: "amd64", variant: "strange" }, parsePlatform("amd64")), 0);
});

test("none: the error says which there are; a single one that says nothing is taken", () => {
  assert.throws(() => choose([entry("linux/s390x"), entry("unknown/unknown")], parsePlatform("amd64"), "x"), {
    code: "image.not-found",
    message: /no image for linux\/amd64: it has linux\/s390x$/,
    hint: /^repeat with --platform linux\/s390x {2}# /,
  });
  assert.throws(() => choose([entry("linux/s390x")], parsePlatform("amd64"), "x", "banger image pull x"), {
    hint: /^banger image pull x --platform linux\/s390x {2}# .*do not run/,
  });
  assert.throws(() => choose([], parsePlatform("amd64"), "x"), { code: "image.not-found" });
  assert.throws(() => choose([entry(undefined), entry(undefined)], parsePlatform("amd64"), "x"), {
    code: "image.not-found",
  });
  assert.equal(choose([entry(undefined)], parsePlatform("amd64"), "x").digest, "none");
});
