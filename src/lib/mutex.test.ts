// One holder for each key, in order; a waiter that gives up does not block the next.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BangerError } from "./errors.ts";
import { KeyedMutex } from "./mutex.ts";

const never = new AbortController().signal;

test("holders of one key follow each other in order; other keys do not wait", async () => {
  const mutex = new KeyedMutex();
  const seen: string[] = [];
  const first = await mutex.acquire("a", never);
  const second = mutex.acquire("a", never).then((lock) => {
    seen.push("second");
    return lock;
  });
  using _other = await mutex.acquire("b", never);
  assert.deepEqual(seen, []);
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  assert.deepEqual(seen, ["second"]);
});

test("waiting can be cancelled, and the next in line still gets the lock", async () => {
  const mutex = new KeyedMutex();
  const controller = new AbortController();
  const first = await mutex.acquire("a", never);
  const cancelled = mutex.acquire("a", controller.signal);
  const third = mutex.acquire("a", never);
  controller.abort(new BangerError("cancelled", "no more"));
  await assert.rejects(cancelled, { code: "cancelled" });
  first[Symbol.dispose]();
  (await third)[Symbol.dispose]();
});
