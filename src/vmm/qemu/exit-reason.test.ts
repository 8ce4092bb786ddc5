// Why a machine ended: the most telling fact wins.
import assert from "node:assert/strict";
import { test } from "node:test";
import { exitReason } from "./exit-reason.ts";

const nothing = {
  killed: false,
  violation: undefined,
  shutdownReason: undefined,
  processEnd: undefined,
  lastWords: "",
};

test("each set of facts has its sentence", () => {
  const cases = [
    [{}, "the VMM process is gone", false],
    [{ shutdownReason: "guest-shutdown", processEnd: "exit code 0" }, "the guest powered off", true],
    [{ shutdownReason: "guest-shutdown", killed: true }, "the guest powered off", true],
    [{ killed: true, processEnd: "signal SIGKILL" }, "the daemon ended the VMM", true],
    [{ processEnd: "signal SIGSYS" }, "the VMM was killed by SIGSYS", false],
    [{ processEnd: "exit code 1", lastWords: "qemu: no" }, "the VMM ended with exit code 1: qemu: no", false],
    [{ processEnd: "exit code 0" }, "the VMM ended with exit code 0", false],
    [{ shutdownReason: "host-signal" }, "the VMM was ended by a signal", false],
    [{ shutdownReason: "constructor" }, "the VMM process is gone", false],
    [{ violation: "it lied", killed: true, shutdownReason: "guest-shutdown" }, "the VMM was ended: it lied", false],
  ] as const;
  for (const [facts, reason, expected] of cases) {
    assert.deepEqual(exitReason({ ...nothing, ...facts }), { reason, expected });
  }
});
