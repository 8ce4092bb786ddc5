// Whether names of VMs are answered. Nothing else needs them.
import { pass, warn, type DoctorCheck } from "./check.ts";

export const vmNames: DoctorCheck = {
  name: "names of VMs",
  async run(_parts, { names }) {
    const { listening, port, problem, server } = await names();
    if (listening) return pass(`<vm>.vm is answered on ${server}:${port}, UDP and TCP`);
    if (port === 0) return pass(problem);
    return warn(
      `ss -lunp 'sport = :${port}'  # who has it; or another port below [dns] in config.toml, then: banger daemon stop`,
      problem,
    );
  },
};
