// No error is lost when undoing fails, too.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BangerError, toBangerError } from "./errors.ts";
import { undone } from "./undo.ts";

const failing = (message: string) => async () => {
  await Promise.reject(new Error(message));
};

test("all steps are run, in order, and the failure is what comes out", async () => {
  const ran: number[] = [];
  const failure = new BangerError("vm.boot-failed", "no boot", { hint: "look" });
  assert.equal(
    await undone(
      failure,
      () => ran.push(1),
      () => ran.push(2),
    ),
    failure,
  );
  assert.deepEqual(ran, [1, 2]);
});

test("what could not be undone is told with the failure, whose code and hint stay", async () => {
  const ran: number[] = [];
  const failure = new BangerError("vm.boot-failed", "no boot", { hint: "look", details: { vm: "web" } });
  const thrown = toBangerError(await undone(failure, failing("one"), () => ran.push(2), failing("three")));
  assert.deepEqual([thrown.code, thrown.hint, thrown.details], ["vm.boot-failed", "look", { vm: "web" }]);
  assert.equal(thrown.message, "no boot; and not all of it could be undone: one; three");
  assert.deepEqual(ran, [2]);
  assert.ok(thrown.cause instanceof AggregateError);
  assert.equal(thrown.cause.errors[0], failure);
});

test("an `await using` that fails after a failure keeps both", async () => {
  const thrown = await (async () => {
    await using undo = new AsyncDisposableStack();
    undo.defer(failing("the machine does not end"));
    throw new BangerError("guest.protocol", "garbage");
  })().catch(toBangerError);
  assert.equal(thrown.code, "guest.protocol");
  assert.equal(thrown.message, "garbage; and not all of it could be undone: the machine does not end");
});
