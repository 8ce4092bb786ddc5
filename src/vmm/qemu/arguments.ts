// The command line of QEMU for one machine, as a pure function: what a machine is made of can be read and compared as text.
// Measurements behind the flags: notes/qemu-boot.md.
import type { DiskSpec, MachineSpec } from "../driver.ts";
import { BangerError } from "../../lib/errors.ts";
import { machineName } from "./identity.ts";
import type { Platform } from "./platform.ts";

export interface HostFacts {
  platform: Platform;
  accelerator: "kvm" | "tcg";
  /** Frequency of the host's time stamp counter, which a guest sees under TCG; undefined when it is not known. */
  tscKhz: number | undefined;
}

/** Sockets and logs, by names relative to the machine's directory: QEMU runs there, so a long directory does not matter. */
export const socketNames = { qmp: "qmp.sock", agent: "agent.sock" } as const;
export const consoleLogName = "console.log";

/** Bound of the memory for translated code beside the guest's own; QEMU's default is up to 1 GiB for each machine. */
const translationCacheMib = 256;

/** Arguments of QEMU, without the program. Throws `internal` for what can only be a bug of the caller. */
export function qemuArguments(spec: MachineSpec, host: HostFacts): string[] {
  return [
    ...["-name", machineName(spec.homeId, spec.vmId)],
    ...["-M", host.platform.machine],
    ...["-accel", host.accelerator === "kvm" ? "kvm" : `tcg,thread=multi,tb-size=${translationCacheMib}`],
    ...["-cpu", host.accelerator === "kvm" ? "host" : host.platform.emulatedCpu],
    ...["-smp", String(spec.vcpus), "-m", `${spec.memoryMib}M`],
    ...["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    // Without this, QEMU's virtio-mmio devices are of the kind before virtio 1.0.
    ...["-global", "virtio-mmio.force-legacy=false"],
    ...["-kernel", absolute(spec.kernel), "-initrd", absolute(spec.initrd)],
    ...["-append", kernelCommandLine(spec.kernelArguments, host)],
    ...spec.disks.flatMap(diskArguments),
    ...["-device", "virtio-serial-device,max_ports=2"],
    ...["-chardev", `socket,id=agent,path=${socketNames.agent},server=on,wait=off`],
    ...["-device", "virtserialport,chardev=agent,name=banger.agent"],
    ...["-chardev", `socket,id=qmp,path=${socketNames.qmp},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
    // Appending, so that the log can be cut while QEMU writes it.
    ...["-chardev", `file,id=console,path=${consoleLogName},append=on`, "-serial", "chardev:console"],
  ];
}

/** Kernel command line: the driver's own arguments, then the caller's. */
export function kernelCommandLine(extra: readonly string[], host: HostFacts): string {
  const own = [
    `console=${host.platform.console}`,
    // A panic resets the machine at once, and -no-reboot makes that the end of QEMU.
    "reboot=t",
    "panic=-1",
    "quiet",
    "random.trust_cpu=on",
    "cryptomgr.notests",
    // TCG keeps translated code by virtual address: with randomised ones, each new process would translate libc again.
    ...(host.accelerator === "tcg" ? ["norandmaps"] : []),
    ...(host.accelerator === "tcg" && host.platform.hasTsc ? clockArguments(host.tscKhz) : []),
  ];
  return [...own, ...extra].join(" ");
}

/**
 * microvm has neither HPET nor PM timer, so a kernel under TCG on a busy host fails to calibrate and hangs: it is told instead.
 * lpj is right for kernels with 250 ticks a second (Debian's); for others, delay loops are off by the ratio, which virtio does not mind.
 */
function clockArguments(tscKhz: number | undefined): string[] {
  if (tscKhz === undefined) return ["no_timer_check"];
  return [`tsc_early_khz=${tscKhz}`, `lpj=${tscKhz * 4}`, "tsc=reliable", "no_timer_check"];
}

function diskArguments(disk: DiskSpec, index: number): string[] {
  if (!/^[a-z0-9-]{1,20}$/.test(disk.serial))
    throw new BangerError("internal", `"${disk.serial}" is not a disk serial`);
  const id = `disk${index}`;
  const access = disk.readOnly ? "readonly=on" : "discard=unmap";
  return [
    ...["-drive", `id=${id},file=${optionValue(absolute(disk.path))},format=raw,if=none,${access}`],
    ...["-device", `virtio-blk-device,drive=${id},serial=${disk.serial}`],
  ];
}

/** Commas separate options; a doubled comma stands for one in a value. */
function optionValue(value: string): string {
  return value.replaceAll(",", ",,");
}

function absolute(path: string): string {
  // A name with a protocol ("nbd:…") or a leading dash would mean something else to QEMU than a file.
  if (!path.startsWith("/")) throw new BangerError("internal", `"${path}" is not an absolute path`);
  return path;
}
