// So many at a time and no more, in order; one that gives up costs nobody a turn.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BangerError } from "./errors.ts";
import { Turns } from "./turns.ts";

const never = new AbortController().signal;

test("two at a time, the others in the order in which they came", async () => {
  const turns = new Turns(2);
  const seen: number[] = [];
  const first = await turns.take(never);
  const second = turns.tryTake();
  const later = [3, 4].map((number) =>
    turns.take(never).then((turn) => {
      seen.push(number);
      return turn;
    }),
  );
  assert.equal(turns.tryTake(), undefined);
  first[Symbol.dispose]();
  // A second dispose gives no second turn.
  first[Symbol.dispose]();
  const third = await later[0];
  assert.deepEqual(seen, [3]);
  // Who comes now does not get before the one who waits.
  second?.[Symbol.dispose]();
  assert.equal(turns.tryTake(), undefined);
  const fourth = await later[1];
  assert.deepEqual(seen, [3, 4]);
  third?.[Symbol.dispose]();
  fourth?.[Symbol.dispose]();
  using _free = turns.tryTake();
  assert.ok(_free !== undefined);
});

test("one that gives up is left out, also when the turn is its own already", async () => {
  const turns = new Turns(1);
  const held = await turns.take(never);
  const cut = new AbortController();
  const cancelled = turns.take(cut.signal);
  const next = turns.take(never);
  cut.abort(new BangerError("cancelled", "no more"));
  await assert.rejects(cancelled, { code: "cancelled" });
  await assert.rejects(turns.take(cut.signal), { code: "cancelled" });
  held[Symbol.dispose]();
  (await next)[Symbol.dispose]();

  const again = await turns.take(never);
  const late = new AbortController();
  const mine = turns.take(late.signal);
  again[Symbol.dispose]();
  late.abort(new BangerError("cancelled", "too late"));
  (await mine)[Symbol.dispose]();
  (await turns.take(never))[Symbol.dispose]();
});
