// The floor under a cold `vm run`: the same QEMU with the same kernel, initramfs, memory, CPUs, devices and flags, taken
// from the command line of a running VM, where the init powers the machine off at once.
import { readFileSync, rmSync, truncateSync, writeFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { run } from "../src/lib/run.ts";
import { consoleLogName } from "../src/vmm/qemu/arguments.ts";
import { listMachines, machineName } from "../src/vmm/qemu/identity.ts";
import { argumentsOf } from "../src/vmm/qemu/process-table.ts";

const bootTimeoutMs = 60_000;

export interface BareMachine {
  program: string;
  args: string[];
  accelerator: "kvm" | "tcg";
}

/**
 * The command line of a running VM's QEMU, changed in three ways: another name, empty files of the same size in `dir` for the
 * disks that are written to, and "poweroff" for the init.
 */
export function bareMachine(homeId: string, vmId: string, dir: string): BareMachine {
  const pid = listMachines(homeId).get(vmId);
  const [program, ...args] = pid === undefined ? [] : argumentsOf(pid);
  if (program === undefined) throw new Error(`no QEMU of VM "${vmId}" is running`);
  const changed = args.map((argument, index) => {
    if (args[index - 1] === "-append") return `${argument} -- poweroff`;
    if (argument === machineName(homeId, vmId)) return "banger-bench";
    const disk = /^(id=(\w+),file=)([^,]+)(,.*)$/.exec(argument);
    if (args[index - 1] !== "-drive" || disk === null || argument.includes("readonly=on")) return argument;
    const [, before, id, path, behind] = disk;
    const empty = join(dir, `${id}.img`);
    writeFileSync(empty, "");
    truncateSync(empty, statSync(path ?? "").size);
    return `${before}${empty}${behind}`;
  });
  if (!changed.some((argument) => argument.endsWith("-- poweroff"))) throw new Error("the VM's QEMU has no -append");
  return { program, args: changed, accelerator: args[args.indexOf("-accel") + 1] === "kvm" ? "kvm" : "tcg" };
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
