// Whether QEMU is there and new enough.
import { findTool, run } from "../../lib/run.ts";
import { fail, pass, type DoctorCheck } from "./check.ts";

const [program, packageName] =
  process.arch === "arm64" ? ["qemu-system-aarch64", "qemu-system-arm"] : ["qemu-system-x86_64", "qemu-system-x86"];
/** The first version with everything that the driver uses. */
const oldestMajor = 7;

export const qemu: DoctorCheck = {
  name: "qemu",
  async run(_parts, { signal }) {
    const install = `sudo apt-get install --no-install-recommends ${packageName}`;
    const path = findTool(program);
    if (path === undefined) return fail(install, `${program} is not installed`);
    const { stdout } = await run({ file: path, args: ["--version"], signal, timeoutMs: 10_000 });
    const text = stdout.toString().split("\n")[0] ?? "";
    const major = Number(/version (\d+)\./.exec(text)?.[1] ?? 0);
    if (major < oldestMajor) return fail(install, text, `version ${oldestMajor} or later is needed`);
    return pass(text, path);
  },
};
