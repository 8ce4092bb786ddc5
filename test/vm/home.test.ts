// BANGER_HOME of any length holds everything, with real VMs in it.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Home, smallVm } from "../support/home.ts";

test("a VM runs below a BANGER_HOME that is far longer than a socket's address", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "banger-long-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "a-directory-with-a-long-name/".repeat(8), "with space, comma");
  mkdirSync(path, { recursive: true });
  assert.ok(path.length > 200);
  await using home = new Home({ seeded: true, path });
  const ran = await home.ok(["vm", "run", "--name", "deep", ...smallVm, "--", "hostname"]);
  assert.equal(ran.stdout, "deep\n");
  await home.ok(["daemon", "stop"]);
  assert.equal((await home.ok(["vm", "exec", "deep", "--", "hostname"])).stdout, "deep\n");
  for (const name of ["run", "state", "state/vms"]) assert.equal(statSync(join(path, name)).mode & 0o777, 0o700, name);
});
