// What a VM is asked to be: the request, filled in from the configuration and checked against the host.
import { totalmem } from "node:os";
import { namePattern, type VmSpec } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";
import { formatBytes, mib } from "../lib/units.ts";

export interface SpecRequest {
  vcpus?: number | undefined;
  memoryMib?: number | undefined;
  diskBytes?: number | undefined;
  overlayBytes?: number | undefined;
}

const limits = { vcpus: 64, minMemoryMib: 128, minDiskBytes: 64 * mib, maxDiskBytes: 16 * 1024 * 1024 * mib };

/** The spec of a VM, new or changed. Throws `vm.spec-invalid` that names the option, what was asked and what is possible; `help` is the hint. */
export function resolveSpec(
  request: SpecRequest,
  defaults: VmSpec,
  { hostMemoryBytes = totalmem(), help = "banger vm run --help" }: { hostMemoryBytes?: number; help?: string } = {},
): VmSpec {
  const invalid = (message: string) => new BangerError("vm.spec-invalid", message, { hint: help });
  const spec: VmSpec = {
    vcpus: request.vcpus ?? defaults.vcpus,
    memoryMib: request.memoryMib ?? defaults.memoryMib,
    diskBytes: alignToMib(request.diskBytes ?? defaults.diskBytes),
    overlayBytes: alignToMib(request.overlayBytes ?? defaults.overlayBytes),
  };
  if (!Number.isInteger(spec.vcpus) || spec.vcpus < 1 || spec.vcpus > limits.vcpus) {
    throw invalid(`--vcpu ${spec.vcpus} is not possible: a VM has 1 to ${limits.vcpus} virtual CPUs`);
  }
  if (!Number.isInteger(spec.memoryMib) || spec.memoryMib < limits.minMemoryMib) {
    throw invalid(`--memory ${spec.memoryMib} MiB is too little: a VM needs at least ${limits.minMemoryMib} MiB`);
  }
  if (spec.memoryMib * mib > hostMemoryBytes) {
    throw invalid(`--memory ${spec.memoryMib} MiB is more than this host has (${formatBytes(hostMemoryBytes)})`);
  }
  for (const [option, bytes] of [
    ["--disk-size", spec.diskBytes],
    ["--system-overlay-size", spec.overlayBytes],
  ] as const) {
    if (bytes >= limits.minDiskBytes && bytes <= limits.maxDiskBytes) continue;
    const range = `from ${formatBytes(limits.minDiskBytes)} to ${formatBytes(limits.maxDiskBytes)}`;
    throw invalid(`${option} ${formatBytes(bytes)} is not possible: ${range}`);
  }
  return spec;
}

/** Throws `vm.name-invalid` unless the name can be a DNS label. `hint` is a command that lacks only a name. */
export function checkName(name: string, hint = "banger vm create --name"): void {
  if (namePattern.test(name)) return;
  throw new BangerError(
    "vm.name-invalid",
    `"${name}" cannot be a VM's name: it must be 1 to 63 of a-z, 0-9 and "-", with no "-" at either end`,
    { hint: `${hint} ${suggestName(name)}` },
  );
}

function suggestName(name: string): string {
  const usable = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, "");
  return usable === "" ? "my-vm" : usable;
}

function alignToMib(bytes: number): number {
  return Math.ceil(bytes / mib) * mib;
}
