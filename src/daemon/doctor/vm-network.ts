// Whether the program that carries the networks of VMs was built. VMs without a network do without it.
import { netdFile } from "../netd-file.ts";
import { pass, type DoctorCheck, warn } from "./check.ts";
import { toBangerError } from "../../lib/errors.ts";

export const vmNetwork: DoctorCheck = {
  name: "network of VMs",
  run() {
    try {
      return pass(netdFile());
    } catch (thrown) {
      const { hint = "", message } = toBangerError(thrown);
      return warn(hint, message);
    }
  },
};
