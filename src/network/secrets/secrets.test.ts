// The authority, the file of secrets, and what a guest is made to trust.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { ensureAuthority } from "./authority.ts";
import { Secrets } from "./secrets.ts";
import { type NewSecret, SecretStore } from "./store.ts";

const dir = mkdtempSync(join(tmpdir(), "banger-secrets-"));
after(() => rmSync(dir, { recursive: true }));
const call = { signal: new AbortController().signal };
const plain: NewSecret = { name: "api", hosts: ["a.example"], headers: [], env: "TOKEN", value: "v", command: null };

test("an authority is made once, can sign and is nobody else's; a broken one is made anew", async () => {
  const place = join(dir, "authority");
  const made = await ensureAuthority(place);
  const certificate = new X509Certificate(made.certificate);
  assert.ok(certificate.ca && certificate.verify(certificate.publicKey));
  assert.match(certificate.subject, /^CN=banger [0-9a-f]{12}$/);
  assert.deepEqual(await ensureAuthority(place), made);
  assert.equal(statSync(join(place, "ca-key.pem")).mode & 0o777, 0o600);
  writeFileSync(join(place, "ca.pem"), "no certificate");
  const again = await ensureAuthority(place);
  assert.notEqual(again.certificate, made.certificate);
  assert.ok((await ensureAuthority(join(dir, "other"))).certificate !== again.certificate);
});

test("a secret keeps its placeholder when it gets another value, and its file to its owner", async () => {
  const file = join(dir, "secrets.json");
  const store = new SecretStore(file);
  const first = await store.set(plain, call);
  const second = await store.set({ ...plain, value: "w" }, call);
  assert.equal(first.placeholder, second.placeholder);
  assert.equal(await new SecretStore(file).valueOf(store.get("api"), call), "w");
  await store.set({ ...plain, name: "cmd", value: null, command: ["printf", "x y\n"] }, call);
  assert.equal(await store.valueOf(store.get("cmd"), call), "x y");
  assert.deepEqual(
    store.list().map(({ name }) => name),
    ["api", "cmd"],
  );
  chmodSync(file, 0o644);
  assert.throws(() => store.list(), { code: "config.invalid" });
  chmodSync(file, 0o600);
  await store.remove("cmd", call);
  assert.throws(() => store.get("cmd"), { code: "secret.not-found" });
  writeFileSync(file, '{"version":1,"secrets":"v-in-here"}');
  assert.throws(
    () => store.list(),
    (error: Error) => !error.message.includes("v-in-here"),
  );
  rmSync(file);
});

test("what cannot be a secret is refused; a command that fails tells nothing that it printed", async () => {
  const store = new SecretStore(join(dir, "refused.json"));
  for (const wrong of [
    { name: "A" },
    { hosts: [] },
    { hosts: ["*"] },
    { hosts: ["10.0.0.1"] },
    { hosts: ["[::1]"] },
    { hosts: ["a.example:443"] },
    { headers: ["a b"] },
    { env: "1A" },
    { value: "" },
    { value: "two\nlines" },
    { value: "ä" },
    { value: "x".repeat(20_000) },
    { value: null, command: [] },
  ] satisfies Partial<NewSecret>[]) {
    await assert.rejects(store.set({ ...plain, ...wrong }, call), BangerError, JSON.stringify(wrong).slice(0, 60));
  }
  const loud = await store.set(
    { ...plain, value: null, command: ["sh", "-c", "echo hush; echo hush >&2; exit 3"] },
    call,
  );
  await assert.rejects(store.valueOf(loud, call), (error: Error) => {
    assert.match(error.message, /gave no value \(exit code 3\)/);
    return !JSON.stringify(error).includes("hush") && !error.message.includes("hush");
  });
});

test("a guest trusts the authority beside what it trusted before, once", async () => {
  const secrets = new Secrets({ file: join(dir, "s.json"), authorityDir: join(dir, "authority") });
  const { certificate } = await ensureAuthority(join(dir, "authority"));
  const files = new Map([["/etc/ssl/certs/ca-certificates.crt", "OTHERS\n"]]);
  const guest = {
    readFile: async (path: string) => {
      const content = files.get(path);
      if (content === undefined) throw new BangerError("file.not-found", "no such file");
      return Readable.from([Buffer.from(content)]);
    },
    writeFile: async (path: string, content: Readable) => void files.set(path, await text(content)),
  };
  await secrets.trust(guest, call);
  await secrets.trust(guest, call);
  assert.deepEqual(Object.fromEntries(files), {
    "/etc/banger-ca.pem": certificate,
    "/etc/ssl/certs/ca-certificates.crt": `OTHERS\n${certificate}`,
  });
  await secrets.store.set(plain, call);
  const [token = ""] = secrets.environmentFor(["api"]);
  assert.match(token, /^TOKEN=banger-api-[0-9a-f]{32}$/);
  assert.deepEqual([secrets.environmentFor([]), await secrets.messageFor([], call)], [[], undefined]);
  assert.deepEqual(secrets.rulesFor(["api"]), ["a.example:443"]);
});
