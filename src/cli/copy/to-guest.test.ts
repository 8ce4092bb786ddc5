// Host to VM: which archive goes where, read back with the real tar.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import type { Client } from "../../sdk/client.ts";
import { parsePlace } from "./place.ts";
import { copyToGuest } from "./to-guest.ts";

describe("to a guest", () => {
  let host: string;
  before(() => {
    host = mkdtempSync(join(tmpdir(), "banger-copy-"));
    mkdirSync(join(host, "tree/sub"), { recursive: true });
    writeFileSync(join(host, "tree/sub/f"), "content");
    symlinkSync("sub/f", join(host, "tree/link"));
    writeFileSync(join(host, "-odd $(id) name"), "odd");
    symlinkSync("tree/sub/f", join(host, "to-file"));
  });
  after(() => rmSync(host, { recursive: true, force: true }));

  /** `there`: what the guest has, by path: true for a directory. Returns the directory and the sorted entries. */
  async function copy(from: string, to: string, there: Record<string, boolean>) {
    let sent: { directory: string; tar: Buffer } | undefined;
    const client = {
      call: async (_name: string, { path }: { path: string }) => {
        const directory = there[path];
        return { file: directory === undefined ? null : { mode: 0, sizeBytes: 0, directory } };
      },
      upload: async (_name: string, { directory }: { directory: string }, tar: Readable) => {
        sent = { directory, tar: await buffer(tar) };
        return { entries: 1 };
      },
    } as unknown as Client;
    const source = parsePlace(from);
    const destination = parsePlace(`box:${to}`);
    assert.ok(source.kind === "host" && destination.kind === "guest");
    await copyToGuest(client, { ...source, cwd: host }, destination, AbortSignal.timeout(10_000));
    assert.ok(sent !== undefined);
    const entries = execFileSync("tar", ["-tf", "-"], { input: sent.tar, encoding: "utf8" });
    return [sent.directory, ...entries.trimEnd().split("\n").toSorted()];
  }

  test("a directory: into one that is there, else under the new name", async () => {
    const under = (name: string) => [`${name}/`, `${name}/link`, `${name}/sub/`, `${name}/sub/f`];
    assert.deepEqual(await copy("tree", "/opt", { "/opt": true }), ["/opt", ...under("./tree")]);
    assert.deepEqual(await copy("tree", "/opt/new", { "/opt": true }), ["/opt/new", ...under(".")]);
    assert.deepEqual(await copy("tree/.", "/opt", { "/opt": true }), ["/opt", ...under(".")]);
    await assert.rejects(copy("tree", "/opt/f", { "/opt": true, "/opt/f": false }), { code: "file.failed" });
    await assert.rejects(copy("tree", "/no/where", {}), { code: "file.not-found" });
  });

  test("a file: into a directory, under a new name, over a file; a link to a file is the file", async () => {
    const name = "-odd $(id) name";
    assert.deepEqual(await copy(`./${name}`, "/opt", { "/opt": true }), ["/opt", `./${name}`]);
    assert.deepEqual(await copy(`./${name}`, "/opt/x", { "/opt": true }), ["/opt", "./x"]);
    assert.deepEqual(await copy(`./${name}`, "/opt/x", { "/opt": true, "/opt/x": false }), ["/opt", "./x"]);
    assert.deepEqual(await copy("to-file", "/opt", { "/opt": true }), ["/opt", "./to-file"]);
    await assert.rejects(copy("to-file", "/opt/new/", { "/opt": true }), { code: "file.not-found" });
    await assert.rejects(copy("missing", "/opt", { "/opt": true }), { code: "file.not-found" });
  });
});
