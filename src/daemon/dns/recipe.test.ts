// Which resolver a host has, and what it gets.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { applyRecipe } from "./apply.ts";
import { detectResolver, recipeFor } from "./recipe.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "banger-dns-"));
  mkdirSync(join(root, "etc"));
});
afterEach(() => rmSync(root, { recursive: true }));
const resolvConf = (content: string) => writeFileSync(join(root, "etc/resolv.conf"), content);

test("the resolver in use is found by its files", () => {
  assert.equal(detectResolver(root), "resolv.conf");
  resolvConf("nameserver 10.0.0.1\n");
  assert.equal(detectResolver(root), "resolv.conf");
  writeFileSync(join(root, "etc/dnsmasq.conf"), "");
  assert.equal(detectResolver(root), "resolv.conf");
  resolvConf("search x\nnameserver 127.0.0.1\n");
  assert.equal(detectResolver(root), "dnsmasq");
  mkdirSync(join(root, "run/NetworkManager"), { recursive: true });
  assert.equal(detectResolver(root), "NetworkManager");
  resolvConf("nameserver 127.0.0.53\n");
  assert.equal(detectResolver(root), "systemd-resolved");
  rmSync(join(root, "etc/resolv.conf"));
  symlinkSync("../run/systemd/resolve/resolv.conf", join(root, "etc/resolv.conf"));
  assert.equal(detectResolver(root), "systemd-resolved");
});

test("systemd-resolved gets a delegate where it knows them, else a drop-in", () => {
  const [old] = recipeFor("systemd-resolved", 5354, 252).files;
  assert.deepEqual(old, {
    path: "/etc/systemd/resolved.conf.d/banger.conf",
    content: "[Resolve]\nDNS=127.0.0.1:5354\nDomains=~vm\n",
  });
  assert.match(recipeFor("systemd-resolved", 5354, 258).files[0]?.path ?? "", /dns-delegate$/);
});

test("files are written for everybody to read; where there are none, nothing is done", async () => {
  const { signal } = new AbortController();
  const recipe = { ...recipeFor("NetworkManager", 5300), commands: [["true"]] };
  // As in the daemon.
  const umask = process.umask(0o077);
  await applyRecipe(recipe, { signal, root });
  process.umask(umask);
  const file = join(root, "etc/NetworkManager/dnsmasq.d/banger.conf");
  assert.equal(readFileSync(file, "utf8"), "server=/vm/127.0.0.1#5300\n");
  assert.equal(statSync(file).mode & 0o777, 0o644);
  await assert.rejects(applyRecipe(recipeFor("resolv.conf", 5354), { signal, root }), { code: "file.failed" });
  writeFileSync(join(root, "file"), "");
  await assert.rejects(applyRecipe(recipe, { signal, root: join(root, "file") }), { code: "file.failed" });
});
