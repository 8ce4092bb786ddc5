// The bare side runs the same machine: what is changed of a command line, and what is not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { qemuArguments } from "../src/vmm/qemu/arguments.ts";
import { platformOf } from "../src/vmm/qemu/platform.ts";
import { copyArguments, memoryFileOf, optionOf } from "./machine-copy.ts";

const spec = {
  vmId: "0123456789ab",
  homeId: "aabbccddeeff",
  dir: "/vms/0123456789ab",
  kernel: "/kernel",
  initrd: "/initrd",
  kernelArguments: [],
  vcpus: 2,
  memoryMib: 512,
  disks: [
    { serial: "base", path: "/images/base.ext4", readOnly: true, format: "raw" as const },
    { serial: "overlay", path: "/vms/a,b/overlay.ext4", readOnly: false, format: "raw" as const },
    { serial: "work", path: "/vms/a,b/work.ext4", readOnly: false, format: "raw" as const },
  ],
};
const host = { platform: platformOf("x64"), accelerator: "tcg" as const, tscKhz: 2_000_000 };
const args = qemuArguments(spec, host);

test("a copy has another name and other writable disks, and is the same in everything else", () => {
  const copied = copyArguments(args, "/tmp/bench");
  const changed = args.flatMap((argument, index) => (argument === copied.args[index] ? [] : [copied.args[index]]));
  assert.equal(copied.args.length, args.length);
  assert.deepEqual(changed, [
    "banger-bench",
    "id=disk-overlay,file=/tmp/bench/overlay.img,format=raw,if=none,discard=unmap",
    "id=disk-work,file=/tmp/bench/work.img,format=raw,if=none,discard=unmap",
  ]);
  assert.deepEqual(copied.disks, [
    { serial: "overlay", original: "/vms/a,b/overlay.ext4", path: "/tmp/bench/overlay.img" },
    { serial: "work", original: "/vms/a,b/work.ext4", path: "/tmp/bench/work.img" },
  ]);
});

test("a disk that is not understood is not passed on: two machines would write to it", () => {
  assert.throws(() => copyArguments(["-drive", "file=/vms/a/work.ext4,if=none"], "/tmp"), /not understood/);
});

test("the memory file of a restored machine, and none for one that booted", () => {
  const restored = qemuArguments(spec, host, { memoryFile: "/cache/a,b/memory.img" });
  assert.equal(memoryFileOf(restored), "/cache/a,b/memory.img");
  assert.equal(memoryFileOf(args), undefined);
});

test("the value of an option", () => {
  assert.equal(optionOf(args, "-smp"), "2");
  assert.equal(optionOf(args, "-nothing"), undefined);
});
