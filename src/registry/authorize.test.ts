// Tokens and passwords: who gets which, how often they are fetched, and what a token server must not do.
import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import type { CredentialSource, FoundCredential } from "./credential.ts";
import { digestOf } from "./digest.ts";
import { openRepository } from "./repository.ts";
import {
  manifestType,
  never,
  quickLimits,
  sampleBytes,
  sampleManifest,
  send,
  serve,
  type TestServer,
} from "./testdata/servers.ts";

const layer = sampleBytes(100);
const manifest = sampleManifest(layer);
const password: FoundCredential = {
  credential: { kind: "password", username: "u", password: "p" },
  origin: "the test",
};
const basic = `Basic ${btoa("u:p")}`;
const give =
  (found: FoundCredential | undefined): CredentialSource =>
  () =>
    Promise.resolve(found);

/** Gives the manifest to who has one of the tokens, and names `realm` to others. */
const guarded =
  (good: (authorization: string | undefined) => boolean, challenge: () => string): RequestListener =>
  (request, response) => {
    if (good(request.headers.authorization)) {
      const isBlob = request.url?.includes("/blobs/") === true;
      return send(response, 200, isBlob ? layer : manifest.bytes, { "content-type": manifestType });
    }
    return send(response, 401, JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "who are you" }] }), {
      "www-authenticate": challenge(),
    });
  };

const pull = async (registry: TestServer, credentials?: CredentialSource) => {
  using repository = openRepository(
    { registry: registry.host, repository: "some/app" },
    { signal: never, limits: quickLimits, ...(credentials === undefined ? {} : { credentials }) },
  );
  return await repository.manifest("v1", { signal: never });
};

async function denied(work: Promise<unknown>, message: RegExp, hint: RegExp): Promise<BangerError> {
  const error: unknown = await work.then(
    () => assert.fail("was not denied"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof BangerError && error.code === "registry.denied", String(error));
  assert.match(error.message, message);
  assert.match(error.hint ?? "", hint);
  assert.doesNotMatch(JSON.stringify(error) + error.message, /Basic |"p"/);
  return error;
}

test("an anonymous token is fetched once for what is pulled at the same time", async () => {
  await using tokens = await serve((_request, response) => send(response, 200, '{"token":"T","expires_in":300}'));
  await using registry = await serve(
    guarded(
      (authorization) => authorization === "Bearer T",
      () => `Bearer realm="http://${tokens.host}/token?x=1",service="the service",scope="repository:other:push"`,
    ),
  );
  using repository = openRepository({ registry: registry.host, repository: "some/app" }, { signal: never });
  const descriptor = { mediaType: "x", digest: digestOf(layer), sizeBytes: layer.length };
  const [got, ...blobs] = await Promise.all([
    repository.manifest("v1", { signal: never }),
    ...[1, 2, 3, 4].map(async () => text(await repository.open(descriptor, { signal: never }))),
  ]);
  assert.equal(got.digest, manifest.digest);
  assert.equal(new Set(blobs).size, 1);
  assert.equal(tokens.log.length, 1);
  const url = new URL(tokens.log[0]?.path ?? "", "http://x");
  assert.deepEqual(
    [...url.searchParams].filter(([name]) => name !== "client_id"),
    [
      ["x", "1"],
      ["service", "the service"],
      ["scope", "repository:some/app:pull"],
    ],
  );
  assert.equal(tokens.log[0]?.authorization, undefined);
});

test("a token that ends in the middle is fetched anew", async () => {
  let issued = 0;
  await using registry = await serve((request, response) => {
    if (request.url?.startsWith("/token") === true) return send(response, 200, `{"access_token":"T${++issued}"}`);
    return guarded(
      (authorization) => authorization === `Bearer T${issued}`,
      () => `Bearer realm="http://${request.headers.host}/token"`,
    )(request, response);
  });
  using repository = openRepository({ registry: registry.host, repository: "some/app" }, { signal: never });
  await repository.manifest("v1", { signal: never });
  issued++;
  await repository.manifest("v1", { signal: never });
  assert.equal(issued, 3);
  // A life that is over is not even tried.
  await repository.manifest("v1", { signal: never });
  assert.equal(issued, 3);
});

test("a password goes to the registry and to its token server on the same host, and to no other", async () => {
  const tokenServer: RequestListener = (request, response) =>
    request.headers.authorization === undefined || request.headers.authorization === basic
      ? send(response, 200, `{"token":"${request.headers.authorization === undefined ? "anonymous" : "user"}"}`)
      : send(response, 401, "");
  await using same = await serve(tokenServer);
  await using registry = await serve(
    guarded(
      (authorization) => authorization === "Bearer user",
      () => `Bearer realm="http://${same.host}/token"`,
    ),
  );
  assert.equal((await pull(registry, give(password))).digest, manifest.digest);
  assert.deepEqual(
    same.log.map(({ authorization }) => authorization),
    [basic],
  );

  // The same server by another name is another host.
  const elsewhere = same.host.replace("127.0.0.1", "localhost");
  await using thief = await serve(
    guarded(
      (authorization) => authorization === "Bearer user",
      () => `Bearer realm="http://${elsewhere}/token"`,
    ),
  );
  same.log.length = 0;
  await denied(
    pull(thief, give(password)),
    /it wants the password of the test to be sent to "localhost:\d+", which nobody has allowed/,
    /^banger registry login 127.0.0.1:\d+ --realm localhost:\d+$/,
  );
  for (const { authorization } of same.log) assert.equal(authorization, undefined);
  assert.equal(same.log.length, 1);
});

test("basic authentication, and its failures", async () => {
  await using registry = await serve(
    guarded(
      (authorization) => authorization === basic,
      () => 'Basic realm="x"',
    ),
  );
  assert.equal((await pull(registry, give(password))).digest, manifest.digest);
  const hint = /^banger registry login 127.0.0.1:\d+$/;
  await denied(pull(registry), /does not give the image "[^"]+\/some\/app:v1": UNAUTHORIZED: who are you$/, hint);
  await denied(pull(registry, give(undefined)), /who are you$/, hint);
  const wrong = { ...password, credential: { kind: "password", username: "u", password: "x" } as const };
  registry.log.length = 0;
  await denied(pull(registry, give(wrong)), /it was asked with the credentials of the test/, hint);
  assert.equal(registry.log.length, 2);
  const broken = await denied(
    pull(registry, () => Promise.reject(new BangerError("command.failed", 'credential helper "x": it failed'))),
    /what is stored for it cannot be used/,
    hint,
  );
  assert.match(String(broken.cause), /credential helper "x"/);
});

test("identity tokens are exchanged, registry tokens are used as they are", async () => {
  let form = "";
  await using registry = await serve((request, response) => {
    if (request.url !== "/token") {
      return guarded(
        (authorization) => authorization === "Bearer fresh" || authorization === "Bearer own",
        () => `Bearer realm="http://${request.headers.host}/token",service="s"`,
      )(request, response);
    }
    return void text(request).then((body) => {
      form = body;
      send(response, request.method === "POST" ? 200 : 405, '{"access_token":"fresh","refresh_token":"next"}');
    });
  });
  await pull(registry, give({ credential: { kind: "identity", token: "i d" }, origin: "the test" }));
  assert.deepEqual(Object.fromEntries(new URLSearchParams(form)), {
    client_id: "banger",
    service: "s",
    scope: "repository:some/app:pull",
    grant_type: "refresh_token",
    refresh_token: "i d",
  });
  form = "";
  await pull(registry, give({ credential: { kind: "bearer", token: "own" }, origin: "the test" }));
  assert.equal(form, "");
});

test("tricks of token servers are refused", async () => {
  const realms: Record<string, RegExp> = {
    "http://example.com/token": /it is not encrypted/,
    "https://10.0.0.1/token": /10.0.0.1 is a private address/,
    "https://169.254.169.254/token": /link-local/,
    "file:///etc/passwd": /only https is used/,
    "https://u:p@example.com/": /it holds credentials/,
    "/token": /that is no URL/,
    "": /that is no URL/,
  };
  for (const [realm, why] of Object.entries(realms)) {
    await using registry = await serve(
      guarded(
        () => false,
        () => `Bearer realm="${realm}"`,
      ),
    );
    await assert.rejects(pull(registry, give(password)), { code: "registry.failed", message: why }, realm);
  }
  const answers: [number, string, string, RegExp][] = [
    [200, "{}", "registry.failed", /answers without a token/],
    [200, "null", "registry.failed", /answers without a token/],
    [200, "<html>", "registry.failed", /something else than a token/],
    [200, '{"token":"a\\r\\nX-Evil: 1"}', "registry.failed", /answers without a token/],
    [200, `{"token":"${"x".repeat(300_000)}"}`, "registry.failed", /more than 262144 bytes/],
    [403, '{"details":"not you"}', "registry.denied", /gives no token: not you/],
    [404, "", "registry.failed", /gives no token: HTTP status 404/],
    [302, "", "registry.failed", /that is no address/],
  ];
  for (const [status, body, code, message] of answers) {
    await using registry = await serve((request, response) =>
      request.url?.startsWith("/token") === true
        ? send(response, status, body)
        : guarded(
            () => false,
            () => `Bearer realm="http://${request.headers.host}/token"`,
          )(request, response),
    );
    await assert.rejects(pull(registry), { code, message }, `${status} ${body.slice(0, 50)}`);
  }
});

test("a token server's redirect takes no password along, and an identity token is never sent on", async () => {
  await using other = await serve((_request, response) => send(response, 200, '{"token":"T"}'));
  await using registry = await serve((request, response) =>
    request.url?.startsWith("/token") === true
      ? send(response, 307, "", { location: `http://${other.host}/` })
      : guarded(
          (authorization) => authorization === "Bearer T",
          () => `Bearer realm="http://${request.headers.host}/token"`,
        )(request, response),
  );
  await pull(registry, give(password));
  assert.deepEqual(
    other.log.map(({ authorization }) => authorization),
    [undefined],
  );
  await assert.rejects(pull(registry, give({ credential: { kind: "identity", token: "i" }, origin: "the test" })), {
    code: "registry.failed",
    message: /what was sent may hold credentials/,
  });
  assert.equal(other.log.length, 1);
});

test("who leaves while a token is fetched does not take it from others", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  await using tokens = await serve((_request, response) => {
    asked.resolve();
    void answer.promise.then(() => send(response, 200, '{"token":"T"}'));
  });
  await using registry = await serve(
    guarded(
      (authorization) => authorization === "Bearer T",
      () => `Bearer realm="http://${tokens.host}/token"`,
    ),
  );
  using repository = openRepository({ registry: registry.host, repository: "some/app" }, { signal: never });
  const leaver = new AbortController();
  const first = repository.manifest("v1", { signal: leaver.signal });
  const second = repository.manifest("v1", { signal: never });
  await asked.promise;
  const reason = new BangerError("cancelled", "enough");
  leaver.abort(reason);
  await assert.rejects(first, reason);
  answer.resolve();
  assert.equal((await second).digest, manifest.digest);
  assert.equal(tokens.log.length, 1);
});
