// Whether this daemon is of the same build as the program that asks.
import { pass, warn, type DoctorCheck } from "./check.ts";

export const daemonVersion: DoctorCheck = {
  name: "daemon",
  run({ build }, { client }) {
    const mine = `daemon ${build.version} (${build.commit}), pid ${process.pid}`;
    if (client.builtAt === build.builtAt) return pass(mine);
    const which = client.builtAt > build.builtAt ? "older" : "newer";
    return warn("banger daemon stop", mine, `it is ${which} than this program (${client.version})`);
  },
};
