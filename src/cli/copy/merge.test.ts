// What a hostile guest can do with "vm cp": nothing outside of the destination, whatever its tar says.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { Client } from "../../sdk/client.ts";
import { copyFromGuest } from "./from-guest.ts";
import { parsePlace } from "./place.ts";

describe("from a guest", () => {
  let root: string;
  let host: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "banger-copy-"));
    host = join(root, "host");
    mkdirSync(host);
    writeFileSync(join(root, "secret"), "safe");
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  /** Copies `box:/data/<name>` to `to`, with a tar of what `script` makes in an empty directory. */
  async function copy(script: string, to: string, options: { directory?: boolean; path?: string; tar?: string } = {}) {
    const guest = mkdtempSync(join(root, "guest-"));
    execFileSync("sh", ["-ec", script], { cwd: guest });
    const tar = join(root, "guest.tar");
    execFileSync("sh", ["-ec", options.tar ?? `tar -C '${guest}' -cPf '${tar}' $(ls -A '${guest}')`], { cwd: guest });
    const client = {
      call: async () => ({ file: { mode: 0o755, sizeBytes: 0, directory: options.directory ?? true } }),
      download: async () => createReadStream(tar),
    } as unknown as Client;
    const source = parsePlace(`box:${options.path ?? "/data/tree"}`);
    const destination = parsePlace(to);
    assert.ok(source.kind === "guest" && destination.kind === "host");
    return await copyFromGuest(client, source, { ...destination, cwd: host }, AbortSignal.timeout(10_000));
  }
  const left = () => readdirSync(host).toSorted();

  test("a directory to a new name, then into the directory that is there", async () => {
    await copy("mkdir -p tree/sub; echo 1 > tree/sub/a; ln -s sub/a tree/link", "new");
    assert.equal(readFileSync(join(host, "new/sub/a"), "utf8"), "1\n");
    assert.ok(lstatSync(join(host, "new/link")).isSymbolicLink());
    await copy("mkdir -p tree; echo 2 > tree/b", "new");
    assert.deepEqual(readdirSync(join(host, "new")).toSorted(), ["link", "sub", "tree"]);
    await copy("mkdir -p tree/sub; echo 3 > tree/sub/c", "new", { path: "/data/tree/." });
    assert.deepEqual(readdirSync(join(host, "new/sub")).toSorted(), ["a", "c"]);
    assert.deepEqual(left(), ["new"], "no staging directory stays");
  });

  test("a file to a new name, over a file, into a directory; not over a directory", async () => {
    const file = { directory: false };
    await copy("echo 1 > tree", "f", file);
    await copy("echo 2 > tree", "f", file);
    assert.equal(readFileSync(join(host, "f"), "utf8"), "2\n");
    await copy("echo 3 > tree", ".", file);
    assert.equal(readFileSync(join(host, "tree"), "utf8"), "3\n");
    mkdirSync(join(host, "d/tree"), { recursive: true });
    await assert.rejects(copy("echo 4 > tree", "d", file), { code: "file.failed" });
    await assert.rejects(copy("echo 4 > tree", "missing/f", file), { code: "file.not-found" });
  });

  test("a link that an earlier copy left is not written through", async () => {
    await copy(`mkdir tree; ln -s '${root}' tree/out`, "kept");
    await copy("mkdir -p tree/out; echo owned > tree/out/secret", "kept/.", { path: "/data/tree/." }).catch(() => {});
    await assert.rejects(copy("mkdir -p tree/out; echo owned > tree/out/secret", "kept", { path: "/data/tree/." }), {
      code: "file.failed",
      message: /symbolic link/,
    });
    symlinkSync(root, join(host, "tree"));
    await assert.rejects(copy("mkdir -p tree; echo owned > tree/secret", "."), /symbolic link/);
    assert.equal(readFileSync(join(root, "secret"), "utf8"), "safe");
  });

  test("names that climb, absolute names and hard links to the outside stay inside or fail", async () => {
    const tar = join(root, "guest.tar");
    for (const make of [
      `echo owned > secret; tar -cPf '${tar}' --transform 's,^secret,tree/../../../secret,' secret`,
      `echo owned > secret; tar -cPf '${tar}' --transform 's,^secret,${root}/secret,' secret`,
      `mkdir tree; ln -s '${root}' tree/l; tar -cf '${tar}' tree; rm tree/l; mkdir tree/l; echo owned > tree/l/secret; tar -rf '${tar}' tree/l/secret`,
    ]) {
      await copy("true", "t", { tar: make }).catch(() => {});
      assert.equal(readFileSync(join(root, "secret"), "utf8"), "safe", make);
    }
  });

  test("devices and pipes are left out, setuid bits too; unreadable directories do not stay behind", async () => {
    const copied = await copy(
      "mkdir tree; mkfifo tree/p; echo x > tree/s; chmod 6755 tree/s; mkdir tree/d; chmod 0 tree/d",
      "x",
    );
    assert.equal(copied.skipped, 1);
    assert.equal(existsSync(join(host, "x/p")), false);
    assert.equal(lstatSync(join(host, "x/s")).mode & 0o7777, 0o755);
    assert.deepEqual(left(), ["x"]);
  });

  test("more than what was asked for is refused and nothing is left", async () => {
    await assert.rejects(copy("mkdir tree; echo x > other", "x"), { code: "guest.protocol" });
    assert.deepEqual(left(), []);
  });
});

test("places", () => {
  const guest = (text: string) => {
    const place = parsePlace(text);
    return place.kind === "guest" ? [place.vm, place.path, place.contents, place.intoDirectory] : place.kind;
  };
  assert.deepEqual(guest("box:/a/../b"), ["box", "/b", false, false]);
  assert.deepEqual(guest("box:repo/"), ["box", "/root/repo", false, true]);
  assert.deepEqual(guest("box:repo/."), ["box", "/root/repo", true, true]);
  assert.deepEqual(guest("box:"), ["box", "/root", false, true]);
  assert.equal(guest("./box:x"), "host");
  assert.equal(guest("/a:b"), "host");
  assert.equal(guest("dir/a:b"), "host");
  assert.equal(guest("-"), "stream");
});
