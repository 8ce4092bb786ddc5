// The options that "vm run" and "vm create" share: what the VM is made of.
import type { ParamsOf } from "../api/methods.ts";
import { mib } from "../lib/units.ts";
import { option } from "./command.ts";
import { countOption, referenceOption, sizeOption } from "./arguments.ts";

export type VmFlags = {
  readonly name?: string;
  readonly image?: string;
  readonly kernel?: string;
  readonly vcpu?: number;
  readonly memory?: number;
  readonly diskSize?: number;
  readonly systemOverlaySize?: number;
};

export const vmFlags = {
  name: option("name of the VM: 1 to 63 of a-z 0-9 and -; generated when left out", "name"),
  image: referenceOption("image", "image to start from; pulled when it is missing and in the catalog"),
  kernel: referenceOption("kernel", "kernel to boot; pulled when it is missing and in the catalog"),
  vcpu: countOption("vcpu", "number of virtual CPUs"),
  memory: sizeOption("memory", "memory, e.g. 512M or 4G; a bare number means MiB"),
  diskSize: sizeOption("disk-size", "size of the disk on /root, e.g. 8G; takes space only as it fills"),
  systemOverlaySize: sizeOption("system-overlay-size", "size of the disk that keeps changes outside /root, e.g. 8G"),
};

/** The daemon's parameters; what was not given is left to its settings. */
export function vmParams(flags: VmFlags): ParamsOf<"vm.create"> {
  return {
    ...(flags.name === undefined ? {} : { name: flags.name }),
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.kernel === undefined ? {} : { kernel: flags.kernel }),
    ...(flags.vcpu === undefined ? {} : { vcpus: flags.vcpu }),
    ...(flags.memory === undefined ? {} : { memoryMib: Math.ceil(flags.memory / mib) }),
    ...(flags.diskSize === undefined ? {} : { diskBytes: flags.diskSize }),
    ...(flags.systemOverlaySize === undefined ? {} : { overlayBytes: flags.systemOverlaySize }),
  };
}
