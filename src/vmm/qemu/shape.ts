// What two machines must have in common so that a capture of one can be restored as the other, as text.
import { readFileSync } from "node:fs";
import type { MachineSpec } from "../driver.ts";
import { type HostFacts, kernelCommandLine, qemuArguments } from "./arguments.ts";

/** See `Driver.shape`. `version` is that of QEMU. */
export function machineShape(
  spec: Pick<MachineSpec, "vcpus" | "memoryMib" | "disks">,
  host: HostFacts,
  version: string,
  cpuInfo = () => readFileSync("/proc/cpuinfo", "utf8"),
): string {
  // What differs between VMs of one shape is replaced by something fixed, so that the rest can be compared as it is.
  const machine: MachineSpec = {
    vmId: "0",
    homeId: "0",
    dir: "/",
    kernel: "/",
    initrd: "/",
    kernelArguments: [],
    vcpus: spec.vcpus,
    memoryMib: spec.memoryMib,
    disks: spec.disks.map(({ serial, readOnly }) => ({ serial, readOnly, path: "/", format: "raw" })),
  };
  const roundedHost = { ...host, tscKhz: roundedKhz(host.tscKhz) };
  return [
    version,
    host.accelerator === "kvm" ? processorOf(cpuInfo()) : "emulated processor",
    kernelCommandLine([], roundedHost),
    ...qemuArguments(machine, roundedHost, { memoryFile: "/" }),
  ].join("\n");
}

/** The sources of the frequency differ in its last digits, and which of them can be read changes while a host is up. */
function roundedKhz(khz: number | undefined): number | undefined {
  const stepKhz = 10_000;
  return khz === undefined ? undefined : Math.round(khz / stepKhz) * stepKhz;
}

/** What a guest can see of the host's processor: model and features, by the names that x86 and arm64 give them. */
export function processorOf(cpuInfo: string): string {
  const names =
    /^(?:vendor_id|cpu family|model|model name|stepping|flags|CPU implementer|CPU architecture|CPU variant|CPU part|CPU revision|Features)\s*:/;
  const first = cpuInfo.split("\n\n")[0] ?? "";
  return first
    .split("\n")
    .filter((line) => names.test(line))
    .map((line) => line.replaceAll(/\s+/g, " "))
    .join("\n");
}
