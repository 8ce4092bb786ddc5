// Asks every check and answers for those that break.
import { toBangerError } from "../../lib/errors.ts";
import type { Doctor } from "../services.ts";
import type { CheckOptions, DoctorCheck, DoctorParts, Finding } from "./check.ts";
import { fail } from "./check.ts";
import { accelerator } from "./accelerator.ts";
import { daemonVersion } from "./daemon-version.ts";
import { defaultImage } from "./default-image.ts";
import { defaultKernel } from "./default-kernel.ts";
import { diskSpace } from "./disk-space.ts";
import { guestAgent } from "./guest-agent.ts";
import { qemu } from "./qemu.ts";
import { stateReadable } from "./state-readable.ts";
import { subordinateIds } from "./subordinate-ids.ts";
import { vmNames } from "./vm-names.ts";
import { vmNetwork } from "./vm-network.ts";
import { e2fsprogs, git, mmdebstrap, qemuImg, sshClient } from "./tools.ts";

/** In the order in which they are shown. */
const checks: readonly DoctorCheck[] = [
  daemonVersion,
  stateReadable,
  diskSpace,
  qemu,
  accelerator,
  guestAgent,
  vmNetwork,
  vmNames,
  e2fsprogs,
  qemuImg,
  mmdebstrap,
  subordinateIds,
  git,
  sshClient,
  defaultKernel,
  defaultImage,
];

export function createDoctor(parts: DoctorParts): Doctor {
  return {
    run: (options) =>
      Promise.all(checks.map(async (check) => ({ name: check.name, ...(await ask(check, parts, options)) }))),
  };
}

async function ask(check: DoctorCheck, parts: DoctorParts, options: CheckOptions): Promise<Finding> {
  try {
    return await check.run(parts, options);
  } catch (thrown) {
    options.signal.throwIfAborted();
    const error = toBangerError(thrown);
    return fail(error.hint ?? "", error.message);
  }
}
