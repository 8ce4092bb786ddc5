// What differs between the processor architectures of hosts: QEMU's program, machine type, console, and signs of hardware
// virtualization. The guest always has the host's architecture.
import { BangerError } from "../../lib/errors.ts";

export interface Platform {
  /** Name of the QEMU program. */
  program: string;
  /** Debian package that holds it. */
  package: string;
  /** Value of `-M`. */
  machine: string;
  /** Guest physical address at which memory begins. */
  memoryAddress: number;
  /** Value of `-cpu` under TCG. */
  emulatedCpu: string;
  /** Console device of the guest's kernel. */
  console: string;
  /** Flags of /proc/cpuinfo of which one must be there for KVM; empty: cpuinfo does not say. */
  kvmFlags: readonly string[];
  /** True where a guest under TCG reads the host's time stamp counter and has to be told its frequency. */
  hasTsc: boolean;
}

const platforms: Partial<Record<NodeJS.Architecture, Platform>> = {
  x64: {
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
    machine: "microvm",
    memoryAddress: 0,
    // Without the two features that tell the kernel and libc to copy with "rep movsb", which TCG carries out byte by byte:
    // copies are two to three times as fast.
    emulatedCpu: "max,-erms,-fsrm",
    console: "ttyS0",
    kvmFlags: ["vmx", "svm"],
    hasTsc: true,
  },
  // Gap: written down from QEMU's documentation, never run. There is no microvm on aarch64; `virt` has virtio-mmio, too.
  arm64: {
    program: "qemu-system-aarch64",
    package: "qemu-system-arm",
    machine: "virt",
    memoryAddress: 0x4000_0000,
    emulatedCpu: "max",
    console: "ttyAMA0",
    kvmFlags: [],
    hasTsc: false,
  },
};

/** The platform of this host. Throws `vmm.missing` on other architectures. */
export function platformOf(arch: NodeJS.Architecture): Platform {
  const platform = platforms[arch];
  if (platform === undefined) {
    throw new BangerError("vmm.missing", `machines on "${arch}" are not supported: x64 and arm64 are`);
  }
  return platform;
}
