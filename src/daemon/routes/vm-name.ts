// What an operation on a VM is called in lists and progress.
import type { Services } from "../services.ts";

/** The VM's name; the reference itself when it names none, which the operation then reports. */
export function vmName({ vms }: Pick<Services, "vms">, reference: string): string {
  try {
    return vms.show(reference).name;
  } catch {
    return reference;
  }
}
