// Long work from start to end, without a server: ids, watching, cancelling, what survives.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Operation } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";
import { silentLogger, withOperation } from "../lib/log.ts";
import type { Progress } from "../lib/progress.ts";
import { Operations } from "./operations.ts";
import { memoryStore } from "./testdata/memory-store.ts";

const never = new AbortController().signal;

/** Work that goes on until it is told to end. */
function controlled() {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  let progress: Progress | undefined;
  return {
    body: (given: Progress) => {
      progress = given;
      return promise;
    },
    resolve,
    reject,
    get progress(): Progress {
      assert.ok(progress !== undefined);
      return progress;
    },
  };
}

test("an operation takes the id of its request, is stored at its start and its end, and keeps its result", async () => {
  const store = memoryStore();
  const operations = new Operations(store, silentLogger);
  const work = controlled();
  const started = withOperation("op-0000cafe", () => operations.start("vm.start", "web", work.body));
  assert.deepEqual([started.id, started.done, operations.running()], ["op-0000cafe", false, 1]);
  await nextTurn();
  assert.equal(store.get(started.id)?.done, false);
  work.resolve({ name: "web" });
  const ended = await operations.ended(started.id);
  assert.deepEqual([ended.done, ended.error, ended.result], [true, null, { name: "web" }]);
  await nextTurn();
  assert.deepEqual(store.get(started.id), ended);
  assert.equal(operations.running(), 0);
});

test("a daemon that runs for long forgets old operations, too", async (t) => {
  const store = memoryStore();
  let nowMs = performance.now();
  t.mock.method(performance, "now", () => nowMs);
  const operations = new Operations(store, silentLogger);
  const old = { ...operations.start("vm.start", "web", async () => {}), id: "op-0000old0", done: true, updatedAt: 0 };
  store.save(old);
  await nextTurn();
  assert.notEqual(store.get(old.id), undefined);
  nowMs += 3601_000;
  operations.start("vm.start", "web", async () => {});
  await nextTurn();
  assert.equal(store.get(old.id), undefined);
});

test("two operations of one request have two ids", () => {
  const operations = new Operations(memoryStore(), silentLogger);
  const start = () => operations.start("vm.start", "web", controlled().body).id;
  const [first, second] = withOperation("op-0000cafe", () => [start(), start()]);
  assert.notEqual(first, second);
});

test("the error carries the operation's id; one that is no BangerError is internal", async () => {
  const operations = new Operations(memoryStore(), silentLogger);
  for (const [thrown, code] of [
    [new BangerError("vm.broken", "it broke"), "vm.broken"],
    [new TypeError("a bug"), "internal"],
  ] as const) {
    const { id } = operations.start("vm.start", "web", () => Promise.reject(thrown));
    const { error } = await operations.ended(id);
    assert.deepEqual([error?.code, error?.operation], [code, id]);
  }
});

test("a target that has no name at the start", async () => {
  const operations = new Operations(memoryStore(), silentLogger);
  const named = Promise.withResolvers<void>();
  const { id } = operations.start("vm.create", "", async (progress) => {
    await named.promise;
    progress.target("calm-owl");
  });
  assert.equal(operations.show(id).target, "");
  named.resolve();
  assert.equal((await operations.ended(id)).target, "calm-owl");
});

test("watch: the state now, changes joined together, the end at once", async () => {
  const operations = new Operations(memoryStore(), silentLogger);
  const work = controlled();
  const { id } = operations.start("image.pull", "debian", work.body);
  const seen: Operation[] = [];
  const watching = (async () => {
    for await (const operation of operations.watch(id, { signal: never })) {
      seen.push(operation);
      if (seen.length === 1) {
        work.progress.stage("download", "first");
        for (let done = 0; done < 1000; done++) work.progress.bytes(done, 1000);
      } else if (seen.length === 2) work.resolve({});
    }
  })();
  await watching;
  assert.ok(seen.length <= 4, `${seen.length} updates`);
  assert.deepEqual([seen[1]?.stage, seen[1]?.progress], ["download", { doneBytes: 999, totalBytes: 1000 }]);
  assert.equal(seen.at(-1)?.done, true);
});

test("watch: many watchers see the end, a late one only the end, one that leaves nothing more", async () => {
  const operations = new Operations(memoryStore(), silentLogger);
  const work = controlled();
  const { id } = operations.start("vm.start", "web", work.body);
  const last = async (signal: AbortSignal) => {
    let operation: Operation | undefined;
    for await (operation of operations.watch(id, { signal }));
    return operation?.done;
  };
  const leaver = new AbortController();
  const watchers = [last(never), last(never), last(leaver.signal)];
  leaver.abort();
  assert.equal(await watchers[2], false);
  work.resolve({});
  assert.deepEqual(await Promise.all(watchers), [true, true, false]);
  assert.equal(await last(never), true);
});

test("a stage resets the bytes of the one before; nothing changes after the end", async () => {
  const operations = new Operations(memoryStore(), silentLogger);
  const work = controlled();
  const { id } = operations.start("vm.start", "web", work.body);
  work.progress.bytes(5, null);
  work.progress.stage("boot");
  assert.deepEqual([operations.show(id).stage, operations.show(id).progress], ["boot", null]);
  work.resolve({});
  const ended = await operations.ended(id);
  work.progress.stage("late");
  assert.equal(operations.show(id), ended);
});

test("cancel: the body hears it and undoes; cancelling again, or what is done, changes nothing", async () => {
  const operations = new Operations(memoryStore(), silentLogger);
  const work = controlled();
  const { id } = operations.start("vm.create", "web", work.body);
  operations.cancel(id);
  operations.cancel(id);
  assert.equal(operations.show(id).done, false, "the undo is not over yet");
  const reason: unknown = work.progress.signal.reason;
  assert.ok(reason instanceof BangerError && reason.code === "cancelled");
  work.reject(reason);
  assert.equal((await operations.ended(id)).error?.code, "cancelled");
  assert.equal(operations.cancel(id).error?.code, "cancelled");
  assert.throws(() => operations.cancel("op-none"), { code: "operation.not-found" });
});

test("abortAll waits until everything is undone", async () => {
  const operations = new Operations(memoryStore(), silentLogger);
  const work = controlled();
  const { id } = operations.start("vm.create", "web", work.body);
  const reason = new BangerError("daemon.shutting-down", "the daemon is stopping");
  const aborted = operations.abortAll(reason).then(() => operations.show(id).error?.code);
  work.reject(work.progress.signal.reason);
  assert.equal(await aborted, "daemon.shutting-down");
});

test("a new daemon ends what an old one left, and shows what only the store knows", async () => {
  const store = memoryStore();
  const { id } = new Operations(store, silentLogger).start("vm.create", "web", controlled().body);
  await nextTurn();
  const successor = new Operations(store, silentLogger);
  assert.equal(successor.show(id).error?.code, "operation.interrupted");
  const states: boolean[] = [];
  for await (const { done } of successor.watch(id, { signal: never })) states.push(done);
  assert.deepEqual(states, [true]);
  assert.deepEqual(
    successor.list().map((operation) => operation.id),
    [id],
  );
});

test("a store that fails at the end does not hide the end", async () => {
  const store = memoryStore();
  const operations = new Operations(store, silentLogger);
  const work = controlled();
  const { id } = operations.start("vm.start", "web", work.body);
  store.save = () => {
    throw new Error("disk full");
  };
  work.resolve({});
  assert.equal((await operations.ended(id)).done, true);
});

test("memory is bounded: old finished operations come from the store", async () => {
  const store = memoryStore();
  const operations = new Operations(store, silentLogger);
  const { id } = operations.start("vm.start", "first", async () => ({}));
  await operations.ended(id);
  for (let count = 0; count < 150; count++) {
    await operations.ended(operations.start("vm.start", "web", async () => ({})).id);
  }
  await nextTurn();
  let asked = 0;
  const { get } = store;
  store.get = (wanted) => {
    asked++;
    return get(wanted);
  };
  assert.equal(operations.show(id).target, "first");
  assert.equal(asked, 1);
});
