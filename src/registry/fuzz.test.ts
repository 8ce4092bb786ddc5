// Random names, challenges and documents: each is read as one thing, or refused, and nothing else happens.
import assert from "node:assert/strict";
import { BangerError } from "../lib/errors.ts";
import { fuzz, pick } from "../lib/testdata/fuzz.ts";
import type { Random } from "../lib/testdata/fuzz.ts";
import { addressKind } from "./address.ts";
import { parseChallenges } from "./challenge.ts";
import { errorWords, plainWords } from "./failure.ts";
import { mediaTypeOf } from "./manifest.ts";
import { endpointOf, formatReference, parseReference } from "./reference.ts";
import { parseToken } from "./token.ts";

const joined = (random: Random, pieces: readonly string[], most: number) =>
  Array.from({ length: random(most) }, () => pick(random, pieces)).join("");
const controls = /[\p{Cc}\p{Cf}]/u;

const sha256 = `sha256:${"a".repeat(64)}`;
const namePieces = [
  "a",
  "B",
  "0",
  ".",
  "..",
  "_",
  "__",
  "-",
  "/",
  ":",
  "@",
  "[",
  "]",
  "::1",
  "localhost",
  "docker.io",
].concat([sha256, "\0", "é", "%", "5000", "x".repeat(200), "?", "#", "\\", "%2f", "\u202e", "0x7f.1", "library", "//"]);

fuzz("references", 2000, (random) => {
  const name = joined(random, namePieces, 10);
  let reference;
  try {
    reference = parseReference(name);
  } catch (error) {
    assert.ok(error instanceof BangerError && error.code === "image.reference-invalid", name);
    assert.ok(error.message.length < 600 && !controls.test(error.message), name);
    return;
  }
  const whole = formatReference(reference);
  assert.deepEqual(parseReference(whole), reference, name);
  const url = new URL(`https://${endpointOf(reference.registry)}/v2/${reference.repository}/manifests/x`);
  assert.equal(url.pathname, `/v2/${reference.repository}/manifests/x`, name);
  assert.equal(url.username + url.password + url.search + url.hash, "", name);
});

const challengePieces = [
  "Bearer",
  "Basic",
  " ",
  ",",
  "=",
  '"',
  "\\",
  "realm",
  "service",
  "https://x/",
  "\t",
  "é",
  "==",
].concat([";", "\r\n", "scope", "a=b", "x".repeat(3000), '"'.repeat(50), "\\".repeat(50)]);

fuzz("challenges", 2000, (random) => {
  const header = joined(random, challengePieces, 24);
  const challenges = parseChallenges(header);
  assert.ok(challenges.length <= 8, header);
  for (const { scheme, parameters } of challenges) {
    assert.match(scheme, /^[^\s",=]+$/, header);
    // What a parameter says stands in the header, escapes aside: nothing is made up.
    for (const value of parameters.values())
      assert.ok(header.replaceAll("\\", "").includes(value.replaceAll("\\", "")));
  }
});

const documentPieces = [
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  '"mediaType"',
  '"manifests"',
  '"layers"',
  "null",
  "2",
  '"schemaVersion"',
].concat(
  ['"application/vnd.oci.image.manifest.v1+json"', '"application/vnd.oci.image.index.v1+json"', '"token"', '"errors"'],
  ['"\\u001b"', '"message"', '"t"', '"expires_in"', "1e999", "-1", " ", "\u202e"],
);

/** Mostly an object whose members come from the pieces, sometimes nothing of the kind. */
function text(random: Random): string {
  if (random(4) === 0) return joined(random, documentPieces, 12);
  const words = documentPieces.filter((piece) => piece.startsWith('"'));
  const values = [
    ...words,
    "null",
    "2",
    "1",
    "[]",
    "{}",
    "[null]",
    '[{"code":"\\u001b","message":"\\u202e"}]',
    "1e999",
  ];
  const members = Array.from({ length: random(6) }, () => `${pick(random, words)}:${pick(random, values)}`);
  return `{${members.join(",")}}`;
}

fuzz("documents of registries", 2000, (random) => {
  const body = Buffer.from(text(random));
  const header = pick(random, [undefined, "", "text/html", "application/vnd.oci.image.index.v1+json; charset=utf-8"]);
  for (const read of [() => mediaTypeOf(body, header, "x"), () => parseToken(body, "host", 0).value]) {
    try {
      assert.match(read(), /^[\x21-\x7e]+$/);
    } catch (error) {
      assert.ok(error instanceof BangerError, String(error));
      assert.doesNotMatch(error.message, controls);
    }
  }
  const words = errorWords(body);
  assert.ok(words === undefined || (words.length <= 310 && !controls.test(words)));
  assert.doesNotMatch(plainWords(body.toString()), controls);
});

fuzz("addresses", 1000, (random) => {
  const bytes = Array.from({ length: 4 }, () => pick(random, [0, 10, 127, 169, 172, 192, 254, 255, random(256)]));
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  const kind = addressKind(bytes.join("."));
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  // However an IPv4 address is wrapped, it is what it is.
  for (const wrapped of [`::ffff:${bytes.join(".")}`, `64:ff9b::${hex(a)}${hex(b)}:${hex(c)}${hex(d)}`]) {
    assert.equal(addressKind(wrapped), kind, wrapped);
  }
  assert.equal(addressKind(`2002:${hex(a)}${hex(b)}:${hex(c)}${hex(d)}::1`), kind);
  addressKind(joined(random, ["1", ".", ":", "::", "ffff", "%", "256", "0x1", " "], 9));
});
