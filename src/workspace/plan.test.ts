// What is told of files that stay: only where they could have gone along.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "./plan.ts";
import { openSource } from "./source/source.ts";
import type { ShipmentRequest } from "./staging/shipment.ts";

const { signal } = new AbortController();

test("untracked files are counted unless none could go along", async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-plan-"));
  try {
    const root = join(directory, "repository");
    mkdirSync(root);
    const git = (...args: string[]) =>
      execFileSync("git", ["-C", root, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { stdio: "pipe" });
    git("init", "-q");
    git("commit", "-q", "--allow-empty", "-m", "x");
    writeFileSync(join(root, "untracked"), "");
    let count = 0;
    const untracked = async (request: Partial<ShipmentRequest>) => {
      const scratch = join(directory, `scratch-${count++}`);
      mkdirSync(scratch);
      const whole = { mode: "shallow", includeUntracked: false, ...request } as const;
      return (await inspect(await openSource(root, { signal }), scratch, whole, { signal })).untracked;
    };
    assert.deepEqual(
      [await untracked({}), await untracked({ mode: "metadata-only" }), await untracked({ branch: "b", from: "HEAD" })],
      [1, 0, 0],
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
