// What running VMs use of the host, and what their guests say that they use.
import type { VmStats } from "../api/guest-methods.ts";
import type { VmRecord } from "../api/records.ts";
import type { GuestAgent } from "../guest/agent.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { BangerError } from "../lib/errors.ts";
import { usageOf } from "../lib/process-table.ts";

/** A guest that does not answer must not hold up the list of all. */
const answerTimeoutMs = 2000;

/** What the VM takes of the host, and what its guest says within two seconds. Throws when its VMM has ended. */
export async function statsOf(vm: VmRecord, agent: Promise<GuestAgent>, signal: AbortSignal): Promise<VmStats> {
  using limit = deadline(signal, answerTimeoutMs, () => new BangerError("timeout", "the guest did not answer"));
  const guest = await orAborted(agent, limit.signal)
    .then((one) => one.stats({ signal: limit.signal }))
    .catch(() => undefined);
  signal.throwIfAborted();
  return { id: vm.id, name: vm.name, at: Date.now(), host: await hostUse(vm), guest: guest ?? null };
}

async function hostUse({ name, pid, diskUsedBytes }: VmRecord): Promise<VmStats["host"]> {
  const usage = pid === null ? undefined : await usageOf(pid);
  if (usage === undefined) throw new BangerError("vm.wrong-state", `VM "${name}" is not running any more`);
  return { ...usage, diskBytes: diskUsedBytes };
}
