// Whether there is room for images and the disks of VMs.
import { statfs } from "node:fs/promises";
import { formatBytes } from "../../lib/units.ts";
import { fail, pass, warn, type DoctorCheck } from "./check.ts";

const gib = 1024 * 1024 * 1024;
/** Building an image needs about this much. */
const neededBytes = 2 * gib;
const comfortableBytes = 10 * gib;

export const diskSpace: DoctorCheck = {
  name: "disk space",
  async run({ paths }) {
    const { bavail, bsize } = await statfs(paths.stateDir);
    const freeBytes = bavail * bsize;
    const text = `${formatBytes(freeBytes)} free for ${paths.stateDir}`;
    const mend = `df -h ${paths.stateDir}  # free space, or set BANGER_HOME to a larger disk`;
    if (freeBytes < neededBytes) return fail(mend, text, `an image needs up to ${formatBytes(neededBytes)}`);
    return freeBytes < comfortableBytes ? warn(mend, text) : pass(text);
  },
};
