// Shared work: one runs, all get the result; leaving stops it only when nobody is left.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Progress } from "./progress.ts";
import { SharedWork } from "./shared-work.ts";

function waiter() {
  const abort = new AbortController();
  const stages: string[] = [];
  const progress: Progress = { signal: abort.signal, stage: (name) => void stages.push(name), bytes() {} };
  return { progress, stages, abort };
}

/** Work that ends when it is told to, and takes a turn to clean up when it is cancelled. */
function controlled() {
  const end = Promise.withResolvers<string>();
  const seen = { started: 0, cleaned: 0 };
  const body = async ({ signal, stage }: Progress): Promise<string> => {
    seen.started++;
    stage("build");
    const cancelled = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => cancelled.reject(signal.reason), { once: true });
    try {
      return await Promise.race([end.promise, cancelled.promise]);
    } catch (error) {
      await new Promise((resolve) => setImmediate(resolve));
      seen.cleaned++;
      throw error;
    }
  };
  return { body, end: end.resolve, seen };
}

/** Lets everything that is ready run. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("who comes later joins, hears of the stage, and gets the same result", async () => {
  const shared = new SharedWork<string>();
  const { body, end, seen } = controlled();
  const [one, two] = [waiter(), waiter()];
  const first = shared.run("a", one.progress, body);
  await turn();
  const second = shared.run("a", two.progress, body);
  end("done");
  assert.deepEqual(await Promise.all([first, second]), ["done", "done"]);
  assert.equal(seen.started, 1);
  assert.deepEqual([one.stages, two.stages], [["build"], ["build"]]);
});

test("other keys run on their own, and finished work is not remembered", async () => {
  const shared = new SharedWork<string>();
  const { body, end, seen } = controlled();
  const both = [shared.run("a", waiter().progress, body), shared.run("b", waiter().progress, body)];
  end("done");
  await Promise.all(both);
  await shared.run("a", waiter().progress, body);
  assert.equal(seen.started, 3);
});

test("a failure reaches everybody", async () => {
  const shared = new SharedWork<string>();
  const fail = async () => {
    await turn();
    throw new Error("broken");
  };
  const results = await Promise.allSettled([1, 2].map(() => shared.run("a", waiter().progress, fail)));
  for (const result of results) assert.match(String((result as PromiseRejectedResult).reason), /broken/);
});

test("the first may leave; the last stops the work and waits until it has cleaned up", async () => {
  const shared = new SharedWork<string>();
  const { body, seen } = controlled();
  const [one, two] = [waiter(), waiter()];
  const first = shared.run("a", one.progress, body);
  const second = shared.run("a", two.progress, body);
  await turn();
  one.abort.abort(new Error("one left"));
  await assert.rejects(first, { message: "one left" });
  await turn();
  assert.equal(seen.cleaned, 0);
  two.abort.abort(new Error("two left"));
  await assert.rejects(second, { message: "two left" });
  assert.equal(seen.cleaned, 1);
});

test("work that is asked for again while it is being stopped starts afresh, after the cleaning", async () => {
  const shared = new SharedWork<string>();
  const { body, seen } = controlled();
  const one = waiter();
  const first = shared.run("a", one.progress, body);
  await turn();
  one.abort.abort(new Error("left"));
  const again = shared.run("a", waiter().progress, async () => `cleaned ${seen.cleaned}`);
  await assert.rejects(first, { message: "left" });
  assert.equal(await again, "cleaned 1");
});

test("a waiter that is cancelled already starts nothing", async () => {
  const shared = new SharedWork<string>();
  const { body, seen } = controlled();
  const late = waiter();
  late.abort.abort(new Error("too late"));
  await assert.rejects(shared.run("a", late.progress, body), { message: "too late" });
  assert.equal(seen.started, 0);
});
