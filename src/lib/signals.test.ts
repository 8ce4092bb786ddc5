// Names of signals as images write them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { signalNumber } from "./signals.ts";

test("names with and without SIG, numbers, real-time signals", () => {
  const known = {
    SIGTERM: 15,
    sigquit: 3,
    QUIT: 3,
    "9": 9,
    WINCH: 28,
    "SIGRTMIN+3": 37,
    RTMIN: 34,
    "RTMAX-1": 63,
    RTMAX: 64,
  };
  for (const [name, number] of Object.entries(known)) assert.equal(signalNumber(name), number, name);
  for (const name of ["", "0", "65", "SIGNONE", "RTMIN-1", "RTMAX+1", "-9", "1.5", "constructor"]) {
    assert.equal(signalNumber(name), undefined, name);
  }
});
