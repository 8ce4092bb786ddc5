// Parts of the agent that change cgroups and namespaces, in a real guest: their own tests, built here and run there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Home, root, smallVm } from "../support/home.ts";

for (const name of ["freezer", "realm"]) {
  test(`the tests of go/internal/${name} pass in a guest`, async () => {
    const directory = mkdtempSync(join(tmpdir(), `banger-${name}-`));
    await using home = new Home({ seeded: true });
    try {
      const binary = join(directory, `${name}.test`);
      execFileSync(join(root, ".cache/bin/go"), ["test", "-c", "-tags", "guest", "-o", binary, `./internal/${name}`], {
        cwd: join(root, "go"),
        env: { ...process.env, CGO_ENABLED: "0" },
        stdio: ["ignore", "ignore", "inherit"],
      });
      await home.ok(["vm", "create", "--name", "box", ...smallVm]);
      await home.ok(["vm", "cp", binary, `box:/root/${name}.test`]);
      const ran = await home.run(["vm", "exec", "box", "--", `/root/${name}.test`, "-test.v", "-test.timeout=3m"]);
      assert.equal(ran.code, 0, ran.stdout + ran.stderr);
      const passed = ran.stdout.match(/^--- PASS: /gm) ?? [];
      const begun = ran.stdout.match(/^=== RUN /gm) ?? [];
      assert.ok(begun.length > 0 && passed.length === begun.length, ran.stdout);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
