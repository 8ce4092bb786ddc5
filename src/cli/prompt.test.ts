// Questions on the terminal: what is typed, what is shown of it, and how it is cancelled.
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { CliContext } from "./context.ts";
import { Interrupts } from "./interrupts.ts";
import { askLine, readSecret } from "./prompt.ts";

function terminal(typed: string, stdinIsTty = true) {
  const modes: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), { setRawMode: (on: boolean) => void modes.push(on) });
  const stderr = new PassThrough();
  stdin.write(typed);
  const streams = { stdin: () => stdin, stdinIsTty, stderr };
  const context = { streams, interrupts: new Interrupts(() => {}) } as unknown as CliContext;
  return { context, modes, stdin, shown: async () => text(stderr.end()) };
}

test("a line is shown, a secret is not, and what is typed ahead is for the next question", async () => {
  const { context, modes, shown } = terminal("mex\u007f\rs3cre\u0015s3cret\r");
  assert.equal(await askLine(context, "User name", { hidden: false }), "me");
  assert.equal(await askLine(context, "Password", { hidden: true }), "s3cret");
  assert.deepEqual(modes, [true, false, true, false]);
  assert.equal(await shown(), "User name: mex\b \b\r\nPassword: \r\n");
});

test("Ctrl-C, Ctrl-D and the end of the input cancel, and the terminal is as before", async () => {
  for (const keys of ["abc\u0003", "\u0004"]) {
    const { context, modes } = terminal(keys);
    await assert.rejects(askLine(context, "Password", { hidden: true }), { code: "cancelled" });
    assert.deepEqual(modes, [true, false]);
  }
  const { context, modes, stdin } = terminal("abc");
  stdin.end();
  await assert.rejects(askLine(context, "Password", { hidden: true }), { code: "cancelled" });
  assert.deepEqual(modes, [true, false]);
});

test("without a terminal nothing is asked", async () => {
  const { context } = terminal("", false);
  await assert.rejects(askLine(context, "Password", { hidden: true }), { code: "usage", message: /no terminal/ });
});

test("a secret from a pipe loses its newline only, and is bounded", async () => {
  const read = (input: string) => {
    const { context, stdin } = terminal("");
    stdin.end(input);
    return readSecret(context);
  };
  assert.equal(await read(" two words \n"), " two words ");
  assert.equal(await read("x\r\n"), "x");
  assert.equal(await read(""), "");
  await assert.rejects(read("x".repeat(70_000)), { code: "usage" });
});
