// What is in a shape and what is not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { platformOf } from "./platform.ts";
import { machineShape, processorOf } from "./shape.ts";

const spec = {
  vcpus: 2,
  memoryMib: 512,
  disks: [{ serial: "work", path: "/w", readOnly: false, format: "raw" }],
} as const;
const tcg = { platform: platformOf("x64"), accelerator: "tcg", tscKhz: 2_596_146 } as const;
const cpuInfo = (model: string) =>
  `processor\t: 0\nvendor_id\t: V\nmodel name\t: ${model}\ncpu MHz\t\t: 1234.5\nflags\t\t: fpu sse\n\nprocessor\t: 1\n`;

test("the form of a disk does not count: a capture outlives the disks of its machine", () => {
  const layered = { ...spec, disks: [{ serial: "work", path: "/l", readOnly: false, format: "qcow2" }] } as const;
  assert.equal(machineShape(layered, tcg, "7.2"), machineShape(spec, tcg, "7.2"));
});

test("version and counter count, the last digits of the counter's frequency do not", () => {
  const shape = machineShape(spec, tcg, "7.2");
  assert.notEqual(machineShape(spec, tcg, "7.3"), shape);
  assert.notEqual(machineShape(spec, { ...tcg, tscKhz: 3_000_000 }, "7.2"), shape);
  assert.equal(machineShape(spec, { ...tcg, tscKhz: 2_596_200 }, "7.2"), shape);
});

test("the host's processor counts where the guest sees it: with hardware virtualization", () => {
  const shape = (accelerator: "kvm" | "tcg", model: string) =>
    machineShape(spec, { platform: tcg.platform, accelerator, tscKhz: undefined }, "7.2", () => cpuInfo(model));
  assert.equal(shape("tcg", "A"), shape("tcg", "B"));
  assert.equal(shape("kvm", "A"), shape("kvm", "A"));
  assert.notEqual(shape("kvm", "A"), shape("kvm", "B"));
  assert.notEqual(shape("kvm", "A"), shape("tcg", "A"));
  assert.equal(processorOf(cpuInfo("A")), "vendor_id : V\nmodel name : A\nflags : fpu sse");
});
