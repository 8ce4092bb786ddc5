// Programs of the host that some commands need.
import { findTool } from "../../lib/run.ts";
import { fail, pass, warn, type DoctorCheck } from "./check.ts";

interface Tool {
  name: string;
  programs: readonly string[];
  packageName: string;
  /** What does not work without it. */
  needed: string;
  /** Nothing at all works without it. */
  vital?: boolean;
}

function toolCheck({ name, programs, packageName, needed, vital = false }: Tool): DoctorCheck {
  return {
    name,
    run() {
      const missing = programs.filter((program) => findTool(program) === undefined);
      if (missing.length === 0) return pass(programs.map((program) => findTool(program)).join(", "));
      const say = vital ? fail : warn;
      return say(`sudo apt-get install ${packageName}`, `${missing.join(", ")} is not installed: ${needed}`);
    },
  };
}

export const e2fsprogs = toolCheck({
  name: "e2fsprogs",
  programs: ["mke2fs", "e2fsck"],
  packageName: "e2fsprogs",
  needed: "disks of VMs cannot be made",
  vital: true,
});

export const qemuImg = toolCheck({
  name: "qemu-img",
  programs: ["qemu-img"],
  packageName: "qemu-utils",
  needed: "snapshots and forks of many generations cannot be made, and blank disks are made more slowly",
});

export const mmdebstrap = toolCheck({
  name: "mmdebstrap",
  programs: ["mmdebstrap"],
  packageName: "mmdebstrap",
  needed: '"banger image pull" cannot build images; "banger image import" works',
});

export const git = toolCheck({
  name: "git",
  programs: ["git"],
  packageName: "git",
  needed: "repositories cannot be shipped into VMs",
});

export const sshClient = toolCheck({
  name: "ssh client",
  programs: ["ssh", "ssh-keygen"],
  packageName: "openssh-client",
  needed: '"banger vm ssh" does not work',
});
