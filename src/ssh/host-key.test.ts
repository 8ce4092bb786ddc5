// Keys that OpenSSH itself accepts.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { run } from "../lib/run.ts";
import { ensureClientKey } from "./client-key.ts";
import { generateHostKey } from "./host-key.ts";
import { writeKnownHosts } from "./known-hosts.ts";

const signal = new AbortController().signal;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-ssh-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("ssh-keygen reads the public half of a host key, and each key is new", async () => {
  const key = generateHostKey();
  writeFileSync(join(directory, "key.pub"), `${key.publicLine}\n`);
  const { stdout } = await run({ file: "ssh-keygen", args: ["-l", "-f", join(directory, "key.pub")] });
  assert.match(stdout.toString(), /^256 SHA256:.*\(ED25519\)/);
  assert.match(key.privatePem, /BEGIN PRIVATE KEY/);
  assert.notEqual(generateHostKey().publicLine, key.publicLine);
});

test("the pin is found under the VM's alias", async () => {
  const key = generateHostKey();
  const file = await writeKnownHosts(directory, "0123456789ab", key.publicLine);
  const { stdout } = await run({ file: "ssh-keygen", args: ["-F", "banger-0123456789ab", "-f", file] });
  assert.ok(stdout.toString().includes(key.publicLine));
});

test("the client key is made once, private, and never replaced", async () => {
  const first = await ensureClientKey(directory, { signal });
  assert.match(first.publicLine, /^ssh-ed25519 \S+ banger$/);
  assert.equal(statSync(first.identityFile).mode & 0o777, 0o600);
  const secret = readFileSync(first.identityFile, "utf8");
  assert.deepEqual(await ensureClientKey(directory, { signal }), first);
  assert.equal(readFileSync(first.identityFile, "utf8"), secret);
});
