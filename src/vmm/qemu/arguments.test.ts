// The command line of QEMU, compared as text.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MachineSpec } from "../driver.ts";
import { kernelCommandLine, qemuArguments } from "./arguments.ts";
import { platformOf } from "./platform.ts";

const platform = platformOf("x64");
const tcg = { platform, accelerator: "tcg", tscKhz: 2_596_146 } as const;
const spec: MachineSpec = {
  vmId: "0123456789ab",
  homeId: "aabbccddeeff",
  dir: "/vms/0123456789ab",
  kernel: "/kernels/k,1/kernel",
  initrd: "/cache/initrd",
  kernelArguments: ["banger.phase=hold"],
  vcpus: 2,
  memoryMib: 512,
  disks: [
    { serial: "base", path: "/images/a,b.ext4", readOnly: true, format: "raw" },
    { serial: "work", path: "/vms/0123456789ab/work.qcow2", readOnly: false, format: "qcow2" },
  ],
};

/** One option with its value on each line. */
const asText = (args: readonly string[]) => args.join(" ").replaceAll(/ (?=-[a-zA-Z])/g, "\n");

test("a machine under software emulation", () => {
  assert.equal(
    asText(qemuArguments(spec, tcg)),
    `-name banger-aabbccddeeff-0123456789ab
-M microvm,memory-backend=ram,suppress-vmdesc=on
-accel tcg,thread=multi,tb-size=256
-cpu max,-erms,-fsrm
-smp 2
-m 512M
-object memory-backend-ram,id=ram,size=512M
-nodefaults
-no-user-config
-nographic
-no-reboot
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-global virtio-mmio.force-legacy=false
-kernel /kernels/k,1/kernel
-initrd /cache/initrd
-append console=ttyS0 reboot=t panic=-1 quiet random.trust_cpu=on cryptomgr.notests norandmaps tsc_early_khz=2596146 lpj=10384584 tsc=reliable no_timer_check banger.phase=hold
-drive id=disk-base,file=/images/a,,b.ext4,format=raw,if=none,readonly=on,node-name=disk-base-image,file.node-name=disk-base-file
-device virtio-blk-device,drive=disk-base,serial=base
-drive id=disk-work,file=/vms/0123456789ab/work.qcow2,format=qcow2,if=none,discard=unmap
-device virtio-blk-device,drive=disk-work,serial=work
-device virtio-serial-device,max_ports=2
-chardev socket,id=agent,path=agent.sock,server=on,wait=off
-device virtserialport,chardev=agent,name=banger.agent
-netdev stream,id=nic,server=on,addr.type=unix,addr.path=net.sock
-device virtio-net-device,netdev=nic,mac=02:62:61:6e:67:02,guest_announce=off
-chardev socket,id=qmp,path=qmp.sock,server=on,wait=off
-mon chardev=qmp,mode=control
-chardev file,id=console,path=console.log,append=on
-serial chardev:console`,
  );
});

test("a restored machine differs from the one that booted only in where its memory and its kernel come from", () => {
  const options = (args: readonly string[]) => new Set(asText(args).split("\n"));
  const booted = options(qemuArguments(spec, tcg));
  const restored = options(qemuArguments(spec, tcg, { memoryFile: "/captures/a,b/memory" }));
  assert.deepEqual(
    [...restored].filter((option) => !booted.has(option)),
    [
      "-object memory-backend-file,id=ram,size=512M,mem-path=/captures/a,,b/memory,share=off",
      "-S",
      "-incoming defer",
      "-global migration.send-configuration=off",
    ],
  );
  assert.deepEqual(
    [...booted].filter((option) => !restored.has(option)).map((option) => option.split(" ")[0]),
    ["-object", "-kernel", "-initrd", "-append"],
  );
  assert.throws(() => qemuArguments(spec, tcg, { memoryFile: "memory" }), { code: "internal" });
});

test("with hardware virtualization the guest has the host's processor and finds its clock by itself", () => {
  const args = asText(qemuArguments(spec, { ...tcg, accelerator: "kvm" }));
  assert.match(args, /^-accel kvm$/m);
  assert.match(args, /^-cpu host$/m);
  assert.doesNotMatch(args, /tsc|lpj/);
});

test("clock arguments need a known frequency, and a processor that has the counter", () => {
  assert.match(kernelCommandLine([], { ...tcg, tscKhz: undefined }), /cryptomgr\.notests norandmaps no_timer_check$/);
  const arm = { ...tcg, platform: platformOf("arm64") };
  assert.equal(
    kernelCommandLine([], arm),
    "console=ttyAMA0 reboot=t panic=-1 quiet random.trust_cpu=on cryptomgr.notests norandmaps",
  );
});

test("paths that are not absolute, ids and serials of other forms are refused", () => {
  for (const wrong of [
    { kernel: "nbd:host:1" },
    { initrd: "-x" },
    { vmId: "a b" },
    { vmId: "-a" },
    { homeId: "a-b" },
    { disks: [{ serial: "a,b", path: "/d", readOnly: true, format: "raw" as const }] },
    { disks: [{ serial: "base", path: "d", readOnly: true, format: "raw" as const }] },
  ]) {
    assert.throws(() => qemuArguments({ ...spec, ...wrong }, tcg), { code: "internal" }, JSON.stringify(wrong));
  }
});
