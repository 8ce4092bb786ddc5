// Names of images: what they stand for, what is refused and with which words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { endpointOf, formatReference, parseReference, parseRegistry } from "./reference.ts";

const sha256 = `sha256:${"a".repeat(64)}`;
const sha512 = `sha512:${"0".repeat(128)}`;

test("names stand for a registry, a repository, a tag and a digest", () => {
  const cases: Record<string, string> = {
    alpine: "docker.io/library/alpine:latest",
    "alpine:3.20": "docker.io/library/alpine:3.20",
    "docker.io/alpine": "docker.io/library/alpine:latest",
    "index.docker.io/owner/app:1": "docker.io/owner/app:1",
    "registry-1.docker.io/alpine": "docker.io/library/alpine:latest",
    "owner/app": "docker.io/owner/app:latest",
    "ghcr.io/owner/app:1.2": "ghcr.io/owner/app:1.2",
    "GHCR.io/owner/app": "ghcr.io/owner/app:latest",
    "localhost/app": "localhost/app:latest",
    "localhost:5000/a/b/c:V_1.x-y": "localhost:5000/a/b/c:V_1.x-y",
    "127.0.0.1:5000/app": "127.0.0.1:5000/app:latest",
    "[::1]:5000/app:2": "[::1]:5000/app:2",
    "[fd00::1]/app": "[fd00::1]/app:latest",
    "a.b/c__d.e-f---g": "a.b/c__d.e-f---g:latest",
    [`alpine@${sha256}`]: `docker.io/library/alpine@${sha256}`,
    [`h:1/alpine:3@${sha512}`]: `h:1/alpine:3@${sha512}`,
    "host:65535/x": "host:65535/x:latest",
  };
  for (const [text, whole] of Object.entries(cases)) {
    assert.equal(formatReference(parseReference(text)), whole, text);
    assert.deepEqual(parseReference(whole), parseReference(text), whole);
  }
  assert.equal(endpointOf("docker.io"), "registry-1.docker.io");
  assert.equal(endpointOf("ghcr.io"), "ghcr.io");
  assert.equal(parseRegistry("Registry.Example:5000"), "registry.example:5000");
});

test("what is wrong is said, with an example", () => {
  const cases: Record<string, RegExp> = {
    "": /it is empty/,
    Alpine: /"Alpine" has upper-case letters/,
    "alpine:": /the tag "" is not 1 to 128/,
    "alpine:-x": /the tag "-x"/,
    [`alpine:${"t".repeat(129)}`]: /is not 1 to 128/,
    "a//b": /"a\/\/b" has an empty part/,
    "/a": /has an empty part/,
    "a/": /has an empty part/,
    "..": /"\.\." is not lower-case/,
    "a/../b": /"\.\." is not lower-case/,
    "a..b": /"a\.\.b" is not/,
    "https://ghcr.io/a/b": /it is a URL/,
    "a b": /character 2 cannot be in a name/,
    "a\n": /character 2/,
    älpine: /character 1/,
    "a@b@c": /more than one "@"/,
    "a@": /"" after "@" is not a digest/,
    "a@latest": /"latest" after "@"/,
    "a@md5:00": /algorithm "md5" is not known/,
    "a@sha256:00": /sha256 digest has 64/,
    [`a@sha256:${"A".repeat(64)}`]: /lower-case hex/,
    [`a@sha512:${"a".repeat(64)}`]: /sha512 digest has 128/,
    "host:0/x": /port of 1 to 65535/,
    "host:65536/x": /port of 1 to 65535/,
    "host:/x": /port of 1 to 65535/,
    "127.1:5000/x": /"127.1" is not a host name/,
    "0x7f.1/x": /is not a host name/,
    "1.2.3.4.5/x": /is not a host name/,
    "[::1/x": /is not a host/,
    "[::g]/x": /is not an IPv6 address/,
    "[fe80::1%lo]/x": /is not an IPv6 address/,
    "user:pw@host/x": /after "@" is not a digest/,
    "-a.b/x": /is not a host name/,
    [`${"a".repeat(64)}.io/x`]: /is not a host name/,
    [`a.io/${"b/".repeat(130)}c`]: /longer than 255/,
    ["x".repeat(5000)]: /longer than 4096/,
  };
  for (const [text, why] of Object.entries(cases)) {
    assert.throws(
      () => parseReference(text),
      (error) => {
        assert.ok(error instanceof BangerError, `${text}: ${String(error)}`);
        assert.equal(error.code, "image.reference-invalid", text);
        assert.match(error.message, why);
        assert.match(error.message, /names look like alpine:3.20/);
        assert.ok(error.message.length < 600, "the message is bounded");
        assert.doesNotMatch(error.message, /[\p{Cc}]/u);
        return true;
      },
      text,
    );
  }
});

test("the address of a registry alone", () => {
  for (const text of ["", "a b", "https://ghcr.io", "ghcr.io/owner", "x:y", "u@h"]) {
    assert.throws(() => parseRegistry(text), {
      code: "image.reference-invalid",
      message: /is not the address of a registry: .*; addresses look like ghcr.io or localhost:5000$/,
    });
  }
});
