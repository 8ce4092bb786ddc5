// The client's key pair: made once, and both halves belong together whoever asks at the same time.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensureClientKey } from "./client-key.ts";

test("many that want the key at once get one pair that fits", async () => {
  const root = mkdtempSync(join(tmpdir(), "banger-client-key-"));
  try {
    const { signal } = new AbortController();
    const keys = await Promise.all(Array.from({ length: 8 }, () => ensureClientKey(join(root, "ssh"), { signal })));
    const [first] = keys;
    assert.ok(first !== undefined);
    for (const key of keys) assert.deepEqual(key, first);
    const derived = execFileSync("ssh-keygen", ["-y", "-f", first.identityFile], { encoding: "utf8" });
    assert.equal(derived.split(" ")[1], first.publicLine.split(" ")[1]);
    assert.deepEqual(readdirSync(join(root, "ssh")).toSorted(), ["id_ed25519", "id_ed25519.pub"]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
