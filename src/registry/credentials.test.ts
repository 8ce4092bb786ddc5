// Stored credentials: our own file, docker's file and helper programs, and that no secret gets into an error.
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { changeLogin } from "./auth-file.ts";
import { storedCredentials } from "./credentials.ts";
import { login, logout } from "./login.ts";
import { never, quickLimits, send, serve } from "./testdata/servers.ts";

const path = process.env["PATH"] ?? "";
let dir: string;
let authFile: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "banger-registry-"));
  authFile = join(dir, "config", "auth.json");
  await mkdir(join(dir, "docker"));
});
afterEach(() => rm(dir, { recursive: true }));
before(() => assert.notEqual(path, ""));
after(() => (process.env["PATH"] = path));

const find = (registry: string) =>
  storedCredentials({ authFile, env: { DOCKER_CONFIG: join(dir, "docker"), PATH: process.env["PATH"] } })(
    registry,
    never,
  );
const docker = (config: unknown) =>
  writeFile(join(dir, "docker", "config.json"), typeof config === "string" ? config : JSON.stringify(config));
const credentialOf = async (registry: string) => (await find(registry))?.credential;

/** Installs docker-credential-<name> with a script that writes down its arguments and input. */
async function helper(name: string, script: string): Promise<void> {
  const file = join(dir, `docker-credential-${name}`);
  await writeFile(file, `#!/bin/sh\nprintf '%s:' "$*" >>"${dir}/asked"\ncat >>"${dir}/asked"\n${script}\n`, {
    mode: 0o755,
  });
  process.env["PATH"] = `${dir}${delimiter}${path}`;
}

const fails = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof BangerError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  assert.doesNotMatch(`${error.message} ${String(error.cause)} ${JSON.stringify(error.details)}`, /hunter2/);
  return true;
};

test("docker's file is understood in all the ways it names a registry", async () => {
  assert.equal(await find("docker.io"), undefined, "without any file");
  await docker({
    auths: {
      "https://index.docker.io/v1/": { auth: btoa("hub:s:1") },
      "ghcr.io": { auth: btoa("gh:s2") },
      "https://Registry.Example:5000/v2/": { auth: btoa("re:s3") },
      "plain.example": { username: "u", password: "s4" },
      "identity.example": { auth: btoa("x:"), identitytoken: "it" },
      "token.example": { registrytoken: "rt" },
      "empty.example": {},
      "broken.example": { auth: "!!!" },
    },
  });
  const password = (username: string, secret: string) => ({ kind: "password", username, password: secret });
  assert.deepEqual(await credentialOf("docker.io"), password("hub", "s:1"));
  assert.deepEqual(await credentialOf("ghcr.io"), password("gh", "s2"));
  assert.deepEqual(await credentialOf("registry.example:5000"), password("re", "s3"));
  assert.deepEqual(await credentialOf("plain.example"), password("u", "s4"));
  assert.deepEqual(await credentialOf("identity.example"), { kind: "identity", token: "it" });
  assert.deepEqual(await credentialOf("token.example"), { kind: "bearer", token: "rt" });
  assert.equal(await credentialOf("empty.example"), undefined);
  assert.equal(await credentialOf("registry.example"), undefined, "another port is another registry");
  assert.equal(await credentialOf("constructor"), undefined);
  await assert.rejects(find("broken.example"), fails("config.invalid", /entry of "broken.example" cannot be read/));
});

test("files that cannot be used are named, without their content", async () => {
  await docker('{"auths": hunter2');
  await assert.rejects(find("x"), fails("config.invalid", /config.json" cannot be used: it is not JSON/));
  await docker("7");
  assert.equal(await find("x"), undefined);
  await docker(" ".repeat(1024 * 1024 + 1));
  await assert.rejects(find("x"), fails("config.invalid", /too long/));
  await rm(join(dir, "docker", "config.json"));
  await mkdir(join(dir, "docker", "config.json"));
  await assert.rejects(find("x"), fails("config.unreadable", /cannot read/));
});

test("helpers are asked on their input, and only they", async () => {
  await helper("one", `echo '{"ServerURL":"x","Username":"u","Secret":"hunter2"}'`);
  await helper("all", `echo '{"Username":"<token>","Secret":"hunter2"}'`);
  await docker({ credHelpers: { "ghcr.io": "one" }, credsStore: "all", auths: { "ghcr.io": { auth: btoa("no:no") } } });
  assert.deepEqual(await find("ghcr.io"), {
    credential: { kind: "password", username: "u", password: "hunter2" },
    origin: 'the credential helper "one"',
  });
  assert.deepEqual(await credentialOf("docker.io"), { kind: "identity", token: "hunter2" });
  assert.equal(await readFile(join(dir, "asked"), "utf8"), "get:ghcr.io\nget:https://index.docker.io/v1/\n");
});

test("helpers that have nothing, or fail", async () => {
  const cases: [string, RegExp | undefined][] = [
    ["echo 'credentials not found in native keychain'; exit 1", undefined],
    ["echo hunter2; exit 1", /it failed with exit code 1/],
    ["echo hunter2 >&2; exit 3", /it failed with exit code 3/],
    ["echo hunter2", /something else than JSON/],
    [`echo '{"Username":"hunter2"}'`, /no user name and secret/],
    ["head -c 100000 /dev/zero", /it failed/],
  ];
  await docker({ credsStore: "x" });
  for (const [script, message] of cases) {
    await helper("x", script);
    if (message === undefined) assert.equal(await find("h"), undefined);
    else await assert.rejects(find("h"), fails("command.failed", message), script);
  }
  await docker({ credsStore: "missing" });
  await assert.rejects(find("h"), fails("command.failed", /"docker-credential-missing" is not installed/));
  await docker({ credsStore: "../x" });
  await assert.rejects(find("h"), fails("command.failed", /no name of a helper/));
});

test("our own file comes first, is private, and is refused when it is not", async () => {
  await docker({ auths: { "ghcr.io": { auth: btoa("docker:x") } } });
  assert.equal(await changeLogin(authFile, "ghcr.io", { username: "own", password: "p", realm: "r" }, never), false);
  assert.equal((await stat(authFile)).mode & 0o777, 0o600);
  assert.deepEqual(await find("ghcr.io"), {
    credential: { kind: "password", username: "own", password: "p" },
    origin: 'user "own"',
    realm: "r",
  });
  await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      changeLogin(authFile, `host-${index}.example`, { username: "u", password: `${index}` }, never),
    ),
  );
  assert.deepEqual(await credentialOf("host-7.example"), { kind: "password", username: "u", password: "7" });
  assert.equal(await logout(authFile, "ghcr.io", never), true);
  assert.equal(await logout(authFile, "ghcr.io", never), false);
  assert.deepEqual(await credentialOf("ghcr.io"), { kind: "password", username: "docker", password: "x" });

  await chmod(authFile, 0o644);
  await assert.rejects(find("ghcr.io"), fails("config.invalid", /only you may read/));
  await chmod(authFile, 0o600);
  for (const content of [
    '{"hunter2"',
    "[]",
    "{}",
    '{"version":2,"registries":{}}',
    '{"version":1,"registries":{"h":{"username":"hunter2"}}}',
  ]) {
    await writeFile(authFile, content);
    await assert.rejects(find("h"), fails("config.invalid", /auth.json" cannot be used/), content);
  }
});

test("login stores what the registry takes, and nothing else", async () => {
  const good = `Basic ${btoa("user:right")}`;
  await using registry = await serve((request, response) =>
    request.headers.authorization === good
      ? send(response, 200, "{}")
      : send(response, 401, '{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}', {
          "www-authenticate": "Basic realm=x",
        }),
  );
  const options = { registry: registry.host, authFile, signal: never, limits: quickLimits };
  await assert.rejects(
    login({ ...options, username: "user", password: "hunter2" }),
    fails("registry.denied", /does not let user "user" in: UNAUTHORIZED: no$/),
  );
  await assert.rejects(stat(authFile), { code: "ENOENT" });
  await login({ ...options, username: "user", password: "right" });
  assert.deepEqual(await credentialOf(registry.host), { kind: "password", username: "user", password: "right" });
  for (const [username, password] of [
    ["", "x"],
    ["a:b", "x"],
    ["a\n", "x"],
    ["a", ""],
    ["a", "x\ny"],
  ] as const) {
    await assert.rejects(login({ ...options, username, password }), { code: "usage" }, `${username}/${password}`);
  }
  await using open = await serve((_request, response) => send(response, 200, "{}"));
  await assert.rejects(
    login({ ...options, registry: open.host, username: "user", password: "right" }),
    fails("registry.failed", /does not ask for credentials/),
  );
});

test("login sends the password to another host only when that was said", async () => {
  await using tokens = await serve((request, response) =>
    send(response, 200, request.headers.authorization === undefined ? '{"token":"nobody"}' : '{"token":"user"}'),
  );
  const realm = tokens.host.replace("127.0.0.1", "localhost");
  await using registry = await serve((request, response) =>
    request.headers.authorization?.startsWith("Bearer ") === true
      ? send(response, 200, "{}")
      : send(response, 401, "", { "www-authenticate": `Bearer realm="http://${realm}/token"` }),
  );
  const options = {
    registry: registry.host,
    authFile,
    signal: never,
    limits: quickLimits,
    username: "u",
    password: "hunter2",
  };
  await assert.rejects(login(options), (error: BangerError) => {
    assert.match(error.message, /it names "localhost:\d+" as its token server/);
    assert.equal(error.hint, `banger registry login ${registry.host} --realm ${realm}`);
    return fails("registry.denied", /./)(error);
  });
  assert.equal(tokens.log.length, 0);
  await assert.rejects(stat(authFile), { code: "ENOENT" });

  await login({ ...options, realm });
  assert.equal(tokens.log[0]?.authorization, `Basic ${btoa("u:hunter2")}`);
  assert.equal((await find(registry.host))?.realm, realm);
});
