// The command line of QEMU for one machine, as a pure function: what a machine is made of can be read and compared as text.
// Measurements behind the flags: notes/qemu-boot.md.
import { type DiskSpec, type MachineSpec, networkSocketName } from "../driver.ts";
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
export const socketNames = { qmp: "qmp.sock", agent: "agent.sock", network: networkSocketName } as const;
export const consoleLogName = "console.log";

/** Bound of the memory for translated code beside the guest's own; QEMU's default is up to 1 GiB for each machine. */
const translationCacheMib = 256;

/** The object that guest memory is; device state of one machine fits another only when it has the same name there. */
export const memoryId = "ram";

/** What a restored machine has in place of a kernel. */
export interface RestoreArguments {
  /** Mapped copy on write. */
  memoryFile: string;
}

/** File descriptor of the device state in a machine that is restored. */
export const stateFd = 3;

/**
 * Arguments of QEMU, without the program; with `restore`, of a machine that waits for device state and then stands still.
 * Throws `internal` for what can only be a bug of the caller.
 */
export function qemuArguments(spec: MachineSpec, host: HostFacts, restore?: RestoreArguments): string[] {
  return [
    ...["-name", machineName(spec.homeId, spec.vmId)],
    ...["-M", `${host.platform.machine},memory-backend=${memoryId},suppress-vmdesc=on`],
    ...["-accel", host.accelerator === "kvm" ? "kvm" : `tcg,thread=multi,tb-size=${translationCacheMib}`],
    ...["-cpu", host.accelerator === "kvm" ? "host" : host.platform.emulatedCpu],
    ...["-smp", String(spec.vcpus), "-m", `${spec.memoryMib}M`],
    ...["-object", memoryObject(spec, restore)],
    ...["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    // Without this, QEMU's virtio-mmio devices are of the kind before virtio 1.0.
    ...["-global", "virtio-mmio.force-legacy=false"],
    ...(restore === undefined ? bootArguments(spec, host) : restoreArguments),
    ...spec.disks.flatMap(diskArguments),
    ...["-device", "virtio-serial-device,max_ports=2"],
    ...["-chardev", `socket,id=agent,path=${socketNames.agent},server=on,wait=off`],
    ...["-device", "virtserialport,chardev=agent,name=banger.agent"],
    ...networkArguments,
    ...["-chardev", `socket,id=qmp,path=${socketNames.qmp},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
    // Appending, so that the log can be cut while QEMU writes it.
    ...["-chardev", `file,id=console,path=${consoleLogName},append=on`, "-serial", "chardev:console"],
  ];
}

function memoryObject(spec: MachineSpec, restore: RestoreArguments | undefined): string {
  const size = `id=${memoryId},size=${spec.memoryMib}M`;
  return restore === undefined
    ? `memory-backend-ram,${size}`
    : `memory-backend-file,${size},mem-path=${optionValue(absolute(restore.memoryFile))},share=off`;
}

function bootArguments(spec: MachineSpec, host: HostFacts): string[] {
  return [
    ...["-kernel", absolute(spec.kernel), "-initrd", absolute(spec.initrd)],
    ...["-append", kernelCommandLine(spec.kernelArguments, host)],
  ];
}

/** Device state is saved without the section that describes the machine's configuration, so none is waited for. */
const restoreArguments = ["-S", "-incoming", "defer", "-global", "migration.send-configuration=off"];

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

/** Name of a disk in QEMU: says its serial, so that a later daemon knows which disk it is. */
export const diskId = (serial: string) => `disk-${serial}`;

/** The serial of a disk by its name in QEMU; undefined for other names. */
export const serialOfDiskId = (id: string) => /^disk-([a-z0-9-]{1,20})$/.exec(id)?.[1];

/** Names of a read-only disk's nodes in QEMU's block layer: its image, and the file that holds it. */
export const diskNodes = (serial: string) => ({ image: `${diskId(serial)}-image`, file: `${diskId(serial)}-file` });

function diskArguments(disk: DiskSpec): string[] {
  const id = diskId(disk.serial);
  if (serialOfDiskId(id) === undefined) throw new BangerError("internal", `"${disk.serial}" is not a disk serial`);
  const { image, file: holder } = diskNodes(disk.serial);
  const access = disk.readOnly ? `readonly=on,node-name=${image},file.node-name=${holder}` : "discard=unmap";
  const file = optionValue(absolute(disk.path));
  return [
    ...["-drive", `id=${id},file=${file},format=${disk.format},if=none,${access}`],
    ...["-device", `virtio-blk-device,drive=${id},serial=${disk.serial}`],
  ];
}

/** Address of the guest's network device: the same in every guest, as each has a network of its own. */
export const guestMac = "02:62:61:6e:67:02";

/**
 * Every machine has the device, so that one template fits VMs with and without a network, and one can be had later. Nothing is
 * behind it, and no driver of the guest takes it, until the VM gets a network: then a process connects to the socket, which carries the
 * frames with 4 bytes of length before each. When it goes, another one can come. notes/network.md has what the device costs.
 * Without `guest_announce=off`, QEMU 7.2 dies when the guest resets a device that was restored, which it does when it powers itself off.
 */
const networkArguments = [
  ...["-netdev", `stream,id=nic,server=on,addr.type=unix,addr.path=${socketNames.network}`],
  ...["-device", `virtio-net-device,netdev=nic,mac=${guestMac},guest_announce=off`],
];

/** Commas separate options; a doubled comma stands for one in a value. */
function optionValue(value: string): string {
  return value.replaceAll(",", ",,");
}

function absolute(path: string): string {
  // A name with a protocol ("nbd:…") or a leading dash would mean something else to QEMU than a file.
  if (!path.startsWith("/")) throw new BangerError("internal", `"${path}" is not an absolute path`);
  return path;
}
