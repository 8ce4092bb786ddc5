// docs/config.md tells every key as it is.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { configReference } from "./reference.ts";
import { listSettings, resolveConfig } from "./resolve.ts";
import { defaultTexts } from "./schema.ts";

test("docs/config.md is current", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/config.md"), "utf8");
  assert.equal(page, configReference(), "write it again: node scripts/config-docs.ts");
});

test("every setting has its key and its default in the page", () => {
  const config = resolveConfig("", {}, new Map(), { cpus: 4, memoryBytes: 4 * 1024 ** 3 });
  const settings = listSettings(config);
  assert.deepEqual(
    settings.map((setting) => setting.key),
    Object.keys(defaultTexts),
  );
  for (const { key, value, origin } of settings) {
    assert.ok(configReference().includes(`### ${key.split(".").at(-1)}\n`), key);
    if (origin === "default" && !/vcpu|memory_mib|file_sync|network\.(?:resolvers|policies)/.test(key)) {
      assert.equal(defaultTexts[key], `\`${JSON.stringify(value)}\``, key);
    }
  }
});
