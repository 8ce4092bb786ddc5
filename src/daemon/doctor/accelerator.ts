// Whether machines run on hardware or in software.
import { explainAccelerator } from "../../vmm/qemu/accelerator.ts";
import { pass, warn, type DoctorCheck } from "./check.ts";

export const accelerator: DoctorCheck = {
  name: "hardware virtualization",
  async run({ paths, probeKernel }, { signal }) {
    const facts = await explainAccelerator({ paths, probeKernel, signal });
    if (facts.accelerator === "kvm") return pass(facts.reason);
    const details = ["VMs work with software emulation, slower", facts.reason];
    const canBeMended = facts.processorFlag !== undefined && !facts.deviceUsable;
    return warn(canBeMended ? 'sudo usermod -aG kvm "$USER"  # then log in again' : "", ...details);
  },
};
