// The command line of a VM's QEMU, from the process table.
import { listMachines } from "../src/vmm/qemu/identity.ts";
import { argumentsOf } from "../src/lib/process-table.ts";

/** Throws when no QEMU of the VM is running. */
export function runningQemu(homeId: string, vmId: string): { program: string; args: string[] } {
  const pid = listMachines(homeId).get(vmId);
  const [program, ...args] = pid === undefined ? [] : argumentsOf(pid);
  if (program === undefined) throw new Error(`no QEMU of VM "${vmId}" is running`);
  return { program, args };
}
