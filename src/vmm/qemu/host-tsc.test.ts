// Where the frequency of the host's time stamp counter is read from.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hostTscKhz, tscKhzOfCpuInfo, tscKhzOfKernelLog } from "./host-tsc.ts";

test("the kernel's log: the refined value wins over the first one, the last boot message over earlier ones", () => {
  const first = "6,12,63,-;tsc: Detected 2596.146 MHz processor";
  assert.equal(tscKhzOfKernelLog([first, "5,1,2,-;other"]), 2_596_146);
  assert.equal(
    tscKhzOfKernelLog([first, "6,99,9,-;tsc: Refined TSC clocksource calibration: 2596.100 MHz"]),
    2_596_100,
  );
  assert.equal(tscKhzOfKernelLog(["tsc: Fast TSC calibration failed"]), undefined);
});

test("cpuinfo: half of bogomips where the counter's rate is constant, else the processor's MHz", () => {
  const info = (flags: string) =>
    `processor\t: 0\ncpu MHz\t\t: 1200.000\nflags\t\t: fpu ${flags} sse\nbogomips\t: 5192.29\n`;
  assert.equal(tscKhzOfCpuInfo(info("constant_tsc")), 2_596_145);
  assert.equal(tscKhzOfCpuInfo(info("tsc")), 1_200_000);
  assert.equal(tscKhzOfCpuInfo("Processor : ARM"), undefined);
});

test("this host says a frequency", { skip: process.arch === "x64" ? false : "only x86 has the counter" }, () => {
  const khz = hostTscKhz() ?? 0;
  assert.ok(khz > 100_000 && khz < 20_000_000, String(khz));
});
