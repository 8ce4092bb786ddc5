// The options that say what a VM is made of: shared by "vm run", "vm create" and "image warm".
import type { ParamsOf } from "../api/methods.ts";
import { BangerError } from "../lib/errors.ts";
import { mib } from "../lib/units.ts";
import { flag, option } from "./command.ts";
import { parseForward } from "./forward-spec.ts";
import { durationOption, lifetimes } from "./duration.ts";
import { parseLabel } from "./label.ts";
import { type NetworkFlags, networkFlags, networkParams } from "./network-options.ts";
import { countOption, referenceOption, sizeOption } from "./arguments.ts";

export type ShapeFlags = {
  readonly kernel?: string;
  readonly vcpu?: number;
  readonly memory?: number;
};

export type SizeFlags = ShapeFlags & {
  readonly diskSize?: number;
  readonly systemOverlaySize?: number;
  readonly init?: string;
};

export type VmFlags = SizeFlags &
  NetworkFlags & {
    readonly name?: string;
    readonly image?: string;
    readonly cold?: boolean;
    readonly warmFrom?: string;
    readonly label?: readonly (readonly [string, string])[];
    readonly ttl?: number;
    readonly idleTimeout?: number;
    readonly onEnd?: "stop" | "pause" | "delete";
    readonly publish?: ParamsOf<"vm.create">["publish"];
  };

const shapeFlags = {
  kernel: referenceOption("kernel", "kernel to boot; pulled when it is missing and in the catalog"),
  vcpu: countOption("vcpu", "number of virtual CPUs"),
  memory: sizeOption("memory", "memory, e.g. 512M or 4G; a bare number means MiB"),
};

export const sizeFlags = {
  ...shapeFlags,
  diskSize: sizeOption("disk-size", "size of the disk on /root, e.g. 8G; takes space only as it fills"),
  systemOverlaySize: sizeOption("system-overlay-size", "size of the disk that keeps changes outside /root, e.g. 8G"),
  init: option("start the image's own init, e.g. /sbin/init, so that its services run; default: none", "path"),
};

export const coldFlag = flag("boot the kernel, although memory of a booted guest could be restored");

export const vmFlags = {
  name: option("name of the VM: 1 to 63 of a-z 0-9 and -; generated when left out", "name"),
  image: referenceOption(
    "image",
    "image to start from, e.g. debian-bookworm or alpine:3.20; pulled when it is missing",
  ),
  ...sizeFlags,
  cold: coldFlag,
  label: {
    kind: "parsed",
    parse: (text: string) => parseLabel(text, "--label"),
    optional: true,
    variadic: true,
    placeholder: "KEY=VALUE",
    brief: "label that lists find it by (repeatable)",
  } as const,
  publish: {
    kind: "parsed",
    parse: parseForward,
    optional: true,
    variadic: true,
    placeholder: "[ADDR:]PORT:PORT",
    brief: "make a port of this host (0 or left out: a free one) lead to one in the VM, at each start (repeatable)",
  } as const,
  ...networkFlags,
  ttl: durationOption("ttl", "end the VM so long after it was made, e.g. 8h; see --on-end", lifetimes),
  idleTimeout: durationOption(
    "idle-timeout",
    "end the VM when there was no command, SSH session or forwarded connection for so long, e.g. 30m",
    lifetimes,
  ),
  onEnd: {
    kind: "enum",
    values: ["stop", "pause", "delete"],
    optional: true,
    brief: "what --ttl and --idle-timeout do with the VM; default: stop",
  } as const,
  warmFrom: referenceOption("snapshot", "go on from this snapshot; image, kernel and sizes are the snapshot's"),
};

function lifetimeParams({ ttl, idleTimeout, onEnd }: VmFlags): Pick<ParamsOf<"vm.create">, "lifetime"> {
  if (ttl === undefined && idleTimeout === undefined) {
    if (onEnd !== undefined) throw new BangerError("usage", "--on-end needs --ttl or --idle-timeout");
    return {};
  }
  return {
    lifetime: {
      ...(ttl === undefined ? {} : { ttlMs: ttl }),
      ...(idleTimeout === undefined ? {} : { idleTimeoutMs: idleTimeout }),
      ...(onEnd === undefined ? {} : { action: onEnd }),
    },
  };
}

/** The daemon's parameters; what was not given is left to its settings. Refuses what a snapshot has fixed already. */
export function vmParams(flags: VmFlags): ParamsOf<"vm.create"> {
  if (flags.warmFrom !== undefined) checkWarmFrom(flags);
  const network = networkParams(flags);
  return {
    ...(flags.name === undefined ? {} : { name: flags.name }),
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...sizeParams(flags),
    ...(flags.cold === true ? { cold: true } : {}),
    ...(flags.warmFrom === undefined ? {} : { from: flags.warmFrom }),
    ...(flags.publish === undefined ? {} : { publish: flags.publish }),
    ...(network === undefined ? {} : { network }),
    ...lifetimeParams(flags),
    ...(flags.label === undefined ? {} : { labels: Object.fromEntries(flags.label) }),
  };
}

/** Sizes, kernel and init alone. */
export function sizeParams(flags: SizeFlags): ShapeParams & SizeParams {
  return {
    ...shapeParams(flags),
    ...(flags.diskSize === undefined ? {} : { diskBytes: flags.diskSize }),
    ...(flags.systemOverlaySize === undefined ? {} : { overlayBytes: flags.systemOverlaySize }),
    ...(flags.init === undefined ? {} : { init: flags.init }),
  };
}

type SizeParams = { diskBytes?: number; overlayBytes?: number; init?: string };
type ShapeParams = { kernel?: string; vcpus?: number; memoryMib?: number };

function shapeParams(flags: ShapeFlags): ShapeParams {
  return {
    ...(flags.kernel === undefined ? {} : { kernel: flags.kernel }),
    ...(flags.vcpu === undefined ? {} : { vcpus: flags.vcpu }),
    ...(flags.memory === undefined ? {} : { memoryMib: Math.ceil(flags.memory / mib) }),
  };
}

function checkWarmFrom(flags: VmFlags): void {
  const given = fixed.filter(([, key]) => flags[key] !== undefined).map(([name]) => name);
  if (given.length > 0) {
    throw new BangerError(
      "usage",
      `--warm-from and ${given.join(", ")} exclude each other: a snapshot has its image, kernel, sizes and init`,
    );
  }
}

/** What a snapshot has fixed. */
const fixed = [
  ["--image", "image"],
  ["--kernel", "kernel"],
  ["--vcpu", "vcpu"],
  ["--memory", "memory"],
  ["--disk-size", "diskSize"],
  ["--system-overlay-size", "systemOverlaySize"],
  ["--init", "init"],
] as const;
