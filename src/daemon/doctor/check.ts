// What a check of doctor is given, and how it says what it found.
import type { Check } from "../../api/records.ts";
import type { Paths } from "../../config/paths.ts";
import type { Config } from "../../config/resolve.ts";
import type { BuildInfo } from "../../lib/build-info.ts";
import type { DoctorFacts, Images, Kernels, SignalOptions } from "../services.ts";

export interface DoctorParts {
  paths: Paths;
  config: Config;
  build: BuildInfo;
  images: Pick<Images, "list">;
  kernels: Pick<Kernels, "list">;
  /** Path of a kernel that a KVM probe may boot. */
  probeKernel: () => Promise<string | undefined>;
}

export type CheckOptions = SignalOptions & DoctorFacts;

/** One question about the host or the store. Changes nothing. What it throws becomes a FAIL. */
export interface DoctorCheck {
  name: string;
  run(parts: DoctorParts, options: CheckOptions): Promise<Finding> | Finding;
}

export type Finding = Omit<Check, "name">;

export const pass = (...details: string[]): Finding => ({ status: "PASS", details, fix: "" });
export const warn = (fix: string, ...details: string[]): Finding => ({ status: "WARN", details, fix });
export const fail = (fix: string, ...details: string[]): Finding => ({ status: "FAIL", details, fix });
