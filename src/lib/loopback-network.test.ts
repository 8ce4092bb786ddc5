// Networks of the loopback and free addresses in them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { freeAddress, parseLoopbackNetwork } from "./loopback-network.ts";

test("networks of 127.0.0.0/8 are read, others are not", () => {
  assert.deepEqual(parseLoopbackNetwork("127.77.0.0/16"), { first: 0x7f4d0000, size: 65_536 });
  for (const text of [
    "",
    "127.77.0.0",
    "10.0.0.0/16",
    "127.77.0.1/16",
    "127.256.0.0/16",
    "127.77.0.0/31",
    "127.0.0.0/7",
  ]) {
    assert.equal(parseLoopbackNetwork(text), undefined, text);
  }
});

test("each address is given once, none at an end of the network, and 127.0.0.1 never", () => {
  const network = parseLoopbackNetwork("127.5.5.0/29");
  assert.ok(network);
  const taken = new Set<string>();
  for (let address = freeAddress(network, 4, taken); address !== undefined; address = freeAddress(network, 4, taken)) {
    assert.equal(taken.has(address), false);
    taken.add(address);
  }
  assert.deepEqual(
    [...taken],
    [5, 6, 1, 2, 3, 4].map((last) => `127.5.5.${last}`),
  );
  assert.equal(freeAddress(parseLoopbackNetwork("127.0.0.0/8") ?? network, 0, new Set()), "127.0.0.2");
});
