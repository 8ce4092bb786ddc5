// Whether the image that VMs get when nobody names one is here.
import { pass, warn, type DoctorCheck } from "./check.ts";

export const defaultImage: DoctorCheck = {
  name: "default image",
  run({ config, images }) {
    const name = config.defaultImage.value;
    const found = images.list().find((record) => record.name === name);
    if (found !== undefined) return pass(`${name} (${found.id.slice(0, 12)})`);
    return warn(`banger image pull ${name}`, `"${name}" is not here yet: the first VM pulls it`);
  },
};
