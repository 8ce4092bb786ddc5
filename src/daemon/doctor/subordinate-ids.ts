// Without root, an image recipe is built in a user namespace, which needs a range of ids that belong to the user.
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { findTool } from "../../lib/run.ts";
import { pass, warn, type DoctorCheck } from "./check.ts";

const files = ["/etc/subuid", "/etc/subgid"];

export const subordinateIds: DoctorCheck = {
  name: "subordinate ids",
  run() {
    const { uid, username } = userInfo();
    if (uid === 0) return pass("not needed: this daemon runs as root");
    const needed = '"banger image pull" cannot build images without root; "banger image import" works';
    if (findTool("newuidmap") === undefined)
      return warn("sudo apt-get install uidmap", `newuidmap is not installed: ${needed}`);
    const without = files.filter((file) => !hasRange(file, [username, String(uid)]));
    if (without.length === 0) return pass(`${files.join(", ")} have a range for ${username}`);
    return warn(
      `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${username}`,
      `no range for ${username} in ${without.join(", ")}: ${needed}`,
    );
  },
};

/** Lines are "<name or id>:<first id>:<count>". */
function hasRange(file: string, names: readonly string[]): boolean {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .some((line) => names.includes(line.split(":")[0] ?? ""));
  } catch {
    return false;
  }
}
