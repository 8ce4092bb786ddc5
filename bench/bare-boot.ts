// The floor under a cold `vm run`: the same QEMU with the same kernel, initramfs, memory, CPUs, devices and flags, taken
// from the command line of a running VM, where the init powers the machine off at once.
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../src/lib/run.ts";
import { consoleLogName } from "../src/vmm/qemu/arguments.ts";
import { copyArguments } from "./machine-copy.ts";
import { runningQemu } from "./running-qemu.ts";

const bootTimeoutMs = 60_000;

export interface BareMachine {
  program: string;
  args: string[];
}

/**
 * The command line of a VM's QEMU that was booted, changed in three ways: another name, empty files of the same size in `dir` for
 * the disks that are written to, and "poweroff" for the init.
 */
export function bareMachine(homeId: string, vmId: string, dir: string): BareMachine {
  const { program, args } = runningQemu(homeId, vmId);
  const copied = copyArguments(args, dir);
  for (const { original, path } of copied.disks) {
    writeFileSync(path, "");
    truncateSync(path, statSync(original).size);
  }
  const append = copied.args.indexOf("-append") + 1;
  if (append === 0) throw new Error("the VM's QEMU has no -append");
  return { program, args: copied.args.with(append, `${copied.args[append]} -- poweroff`) };
}

/** Boots it to its power-off; milliseconds from the start of QEMU to its end. */
export async function bootBare(machine: BareMachine, dir: string): Promise<number> {
  const consoleLog = join(dir, consoleLogName);
  rmSync(consoleLog, { force: true });
  const { durationMs } = await run({
    file: machine.program,
    args: machine.args,
    cwd: dir,
    timeoutMs: bootTimeoutMs,
  }).catch((error: unknown) => {
    throw new Error(`the bare machine did not boot; its console: ${readFileSync(consoleLog, "utf8")}`, {
      cause: error,
    });
  });
  const console = readFileSync(consoleLog, "utf8");
  if (!console.includes("Power down")) throw new Error(`the bare machine did not power off by itself: ${console}`);
  return durationMs;
}
