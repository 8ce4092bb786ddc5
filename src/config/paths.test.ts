// Where things lie, and what becomes of a home that cannot be made.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, symlinkSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ensurePaths, resolvePaths, vmPaths } from "./paths.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-paths-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("BANGER_HOME holds everything; without it the XDG directories do", () => {
  const home = resolvePaths({ BANGER_HOME: "/h" });
  const { homeId, ...places } = home;
  assert.ok(Object.values(places).every((path) => path.startsWith("/h/")));
  assert.ok(Object.values({ ...vmPaths(home, "0123") }).every((path) => path.startsWith("/h/state/vms/0123")));
  assert.notEqual(resolvePaths({ BANGER_HOME: "/other" }).homeId, homeId);
  const xdg = resolvePaths({
    XDG_STATE_HOME: "/s",
    XDG_CONFIG_HOME: "/c",
    XDG_CACHE_HOME: "/k",
    XDG_RUNTIME_DIR: "/r",
  });
  assert.deepEqual(
    [xdg.databaseFile, xdg.configFile, xdg.cacheDir, xdg.daemonSocket],
    ["/s/banger/banger.db", "/c/banger/config.toml", "/k/banger", "/r/banger/bangerd.sock"],
  );
});

test("directories are made private, and made private again", async () => {
  const paths = resolvePaths({ BANGER_HOME: join(directory, "deep/er") });
  await ensurePaths(paths);
  for (const path of [paths.stateDir, paths.runDir, paths.vmsDir]) assert.equal(statSync(path).mode & 0o777, 0o700);
  await ensurePaths(paths);
});

test("a home where nothing can be made, or a run directory that is a link, is refused", async () => {
  await assert.rejects(ensurePaths(resolvePaths({ BANGER_HOME: "/proc/no-such-thing" })), {
    code: "daemon.start-failed",
    message: /\/proc\/no-such-thing/,
  });
  const home = join(directory, "home");
  mkdirSync(home);
  symlinkSync(directory, join(home, "run"));
  await assert.rejects(ensurePaths(resolvePaths({ BANGER_HOME: home })), { code: "daemon.start-failed" });
});
