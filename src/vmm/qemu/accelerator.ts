// Decides between hardware (KVM) and software (TCG) and can say why: "the device is there" does not mean that it works.
import { accessSync, constants, readFileSync } from "node:fs";
import type { Paths } from "../../config/paths.ts";
import { findQemu } from "./launch.ts";
import { probeKvm } from "./kvm-probe.ts";
import { platformOf } from "./platform.ts";

/** What was found out, in the order in which it was asked. For `banger doctor`. */
export interface AcceleratorFacts {
  accelerator: "kvm" | "tcg";
  /** The flag of the processor ("vmx", "svm"); undefined when it has none; "not needed" where processors do not say. */
  processorFlag: string | undefined;
  /** /dev/kvm can be opened by this user. */
  deviceUsable: boolean;
  /** What a test boot showed; undefined when there was no reason for one, or no kernel yet. */
  probe: string | undefined;
  /** One sentence on why it is this accelerator. */
  reason: string;
}

export interface AcceleratorOptions {
  paths: Pick<Paths, "cacheDir">;
  /** Path of a kernel for the test boot; undefined while there is none. */
  probeKernel?: () => Promise<string | undefined>;
}

const device = "/dev/kvm";

/** The facts of this host. Boots a kernel only when flag and device are there and the answer is not known yet: then up to 8 s. */
export async function explainAccelerator(
  options: AcceleratorOptions & { signal: AbortSignal },
): Promise<AcceleratorFacts> {
  const { paths, signal } = options;
  const platform = platformOf(process.arch);
  const processorFlag = kvmFlagOf(readFileSync("/proc/cpuinfo", "utf8"), platform.kvmFlags);
  const deviceUsable = canOpen(device);
  const software = (reason: string, probe?: string): AcceleratorFacts => ({
    accelerator: "tcg",
    processorFlag,
    deviceUsable,
    probe,
    reason: `software emulation: ${reason}`,
  });
  if (processorFlag === undefined) {
    return software(
      `the processor shows no hardware virtualization (no ${platform.kvmFlags.join(" or ")} in /proc/cpuinfo)`,
    );
  }
  if (!deviceUsable) return software(`this user cannot open ${device}`);
  const kernel = await options.probeKernel?.();
  if (kernel === undefined) return software(`there is no kernel yet to try ${device} with`);
  const program = findQemu(platform);
  const probe = await probeKvm({ platform, program, kernel, cacheDir: paths.cacheDir, signal });
  if (!probe.works) return software(`${device} opens, but ${probe.detail}`, probe.detail);
  return {
    accelerator: "kvm",
    processorFlag,
    deviceUsable,
    probe: probe.detail,
    reason: `hardware virtualization: ${device} opens and ${probe.detail}`,
  };
}

/** The choice for launches: asked once, then kept; asked again while only a kernel was missing. */
export function createAcceleratorChoice(
  options: AcceleratorOptions,
): (call: { signal: AbortSignal }) => Promise<AcceleratorFacts> {
  let kept: AcceleratorFacts | undefined;
  return async ({ signal }) => {
    if (kept !== undefined) return kept;
    const facts = await explainAccelerator({ ...options, signal });
    const settled = facts.processorFlag === undefined || !facts.deviceUsable || facts.probe !== undefined;
    if (settled) kept = facts;
    return facts;
  };
}

/** The first wanted flag that /proc/cpuinfo lists; "not needed" when none is wanted. */
export function kvmFlagOf(cpuInfo: string, wanted: readonly string[]): string | undefined {
  if (wanted.length === 0) return "not needed";
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuInfo)?.[1]?.split(" "));
  return wanted.find((flag) => flags.has(flag));
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
