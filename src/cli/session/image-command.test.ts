// What "vm run" runs, of what the image says and what was asked for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { commandOf } from "./image-command.ts";

const image = (entrypoint: string[], command: string[]) => ({ entrypoint, command });
const asked = (argv: string[] = [], entrypoint?: string, withoutPath = true) => ({ argv, entrypoint, withoutPath });

test("as in docker: words replace the command, the entrypoint stays", () => {
  assert.deepEqual(commandOf(image(["/run", "-x"], ["serve"]), asked(["a", "b"])), ["/run", "-x", "a", "b"]);
  assert.deepEqual(commandOf(image([], ["serve"]), asked(["a"])), ["a"]);
  assert.deepEqual(commandOf(image(["/run"], ["serve"]), asked()), ["/run", "serve"]);
  assert.deepEqual(commandOf(image([], ["serve", "x"]), asked()), ["serve", "x"]);
});

test("--entrypoint takes the place of entrypoint and command; '' is none", () => {
  assert.deepEqual(commandOf(image(["/run"], ["serve"]), asked(["a"], "/other")), ["/other", "a"]);
  assert.deepEqual(commandOf(image(["/run"], ["serve"]), asked([], "/other")), ["/other"]);
  assert.deepEqual(commandOf(image(["/run"], ["serve"]), asked(["a"], "")), ["a"]);
  assert.deepEqual(commandOf(image(["/run"], ["serve"]), asked([], "")), []);
});

test("a shell is the login shell; so is what stands where a repository is brought, or where nothing is said", () => {
  for (const shell of ["/bin/sh", "bash", "/usr/bin/zsh", "ash"])
    assert.deepEqual(commandOf(image([], [shell]), asked()), []);
  assert.deepEqual(commandOf(image([], ["/bin/sh", "-c", "serve"]), asked()), ["/bin/sh", "-c", "serve"]);
  assert.deepEqual(commandOf(image([], ["push"]), asked()), ["push"]);
  assert.deepEqual(commandOf(image(["/run"], ["serve"]), asked([], undefined, false)), []);
  assert.deepEqual(commandOf(image(["/run"], ["serve"]), asked(["make"], undefined, false)), ["/run", "make"]);
  assert.deepEqual(commandOf(image([], []), asked()), []);
});
