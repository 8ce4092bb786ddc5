// Whether the kernel that VMs get when nobody names one is here.
import { pass, warn, type DoctorCheck } from "./check.ts";

export const defaultKernel: DoctorCheck = {
  name: "default kernel",
  run({ config, kernels }) {
    const name = config.defaultKernel.value;
    const found = kernels.list().find((record) => record.name === name);
    if (found !== undefined) return pass(`${name} (${found.id.slice(0, 12)})`);
    return warn(`banger kernel pull ${name}`, `"${name}" is not here yet: the first VM pulls it`);
  },
};
