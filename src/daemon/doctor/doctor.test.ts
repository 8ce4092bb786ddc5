// The checks of this host, with a store of the test's own.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Check, ImageRecord } from "../../api/records.ts";
import { resolvePaths, ensurePaths } from "../../config/paths.ts";
import { resolveConfig, thisHost } from "../../config/resolve.ts";
import { createDoctor } from "./doctor.ts";

const home = mkdtempSync(join(tmpdir(), "banger-doctor-"));
after(() => rmSync(home, { recursive: true }));
const paths = resolvePaths({ BANGER_HOME: home });
const signal = new AbortController().signal;

const answered = { server: "127.0.0.1", port: 5354, listening: true, problem: "" };

async function examine(images: ImageRecord[] = [], clientBuiltAt = 5, names = answered): Promise<Map<string, Check>> {
  await ensurePaths(paths);
  const doctor = createDoctor({
    paths,
    config: resolveConfig(paths.configFile, {}, new Map(), thisHost()),
    build: { version: "1", builtAt: 5, commit: "c" },
    images: { list: () => images },
    kernels: { list: () => [] },
    probeKernel: async () => undefined,
  });
  const checks = await doctor.run({
    signal,
    client: { version: "2", builtAt: clientBuiltAt },
    names: async () => names,
  });
  return new Map(checks.map((check) => [check.name, check]));
}

test("every finding that is not PASS says something, and what can be mended says how", async () => {
  const checks = await examine();
  assert.ok(checks.size >= 12);
  for (const { name, status, details, fix } of checks.values()) {
    assert.ok(details.length > 0, name);
    if (status === "PASS") assert.equal(fix, "", name);
  }
  assert.equal(checks.get("qemu")?.status, "PASS");
  assert.equal(checks.get("state")?.status, "PASS");
});

test("a missing default image is a warning with the command that pulls it", async () => {
  const missing = (await examine()).get("default image");
  assert.deepEqual([missing?.status, missing?.fix], ["WARN", "banger image pull debian-bookworm"]);
  const there = await examine([{ id: "a".repeat(64), name: "debian-bookworm" } as ImageRecord]);
  assert.equal(there.get("default image")?.status, "PASS");
});

test("a client of another build is told how to replace the daemon", async () => {
  const daemon = (await examine([], 6)).get("daemon");
  assert.deepEqual([daemon?.status, daemon?.fix], ["WARN", "banger daemon stop"]);
});

test("names of VMs: answered, switched off, or in nobody's way but said to be missing", async () => {
  const found = async (names: typeof answered) => (await examine([], 5, names)).get("names of VMs");
  assert.deepEqual((await found(answered))?.details, ["<vm>.vm is answered on 127.0.0.1:5354, UDP and TCP"]);
  const problem = "no DNS on port 5354 of 127.0.0.1: another program has it";
  assert.equal((await found({ ...answered, port: 0, listening: false, problem: "switched off" }))?.status, "PASS");
  const missing = await found({ ...answered, listening: false, problem });
  assert.deepEqual([missing?.status, missing?.details], ["WARN", [problem]]);
  assert.match(missing?.fix ?? "", /^ss -lunp 'sport = :5354'/);
});

test("a damaged database is a failure, not an error", async () => {
  await ensurePaths(paths);
  writeFileSync(paths.databaseFile, "this is no database at all, not in the least".repeat(100));
  const state = (await examine()).get("state");
  assert.equal(state?.status, "FAIL");
  assert.match(state?.details.join() ?? "", /banger\.db/);
});
