// Looks at VMs from outside: what they use, what listens in them, what they wrote to their console, how SSH reaches them.
import { join } from "node:path";
import type { GuestPort, VmStats } from "../api/guest-methods.ts";
import type { VmRecord } from "../api/records.ts";
import { vmPaths } from "../config/paths.ts";
import { ensureClientKey } from "../ssh/client-key.ts";
import { hostAlias } from "../ssh/known-hosts.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";
import { describedPorts } from "./port-list.ts";
import { statsOf } from "./host-use.ts";
import { findVm } from "./reference.ts";
import { runningSession } from "./running.ts";

/** References are names, ids or unambiguous prefixes; every method that takes one throws `vm.not-found` and `vm.ambiguous`. */
export class LookVerbs {
  readonly #context: VmContext;
  readonly #record: (row: VmRow) => VmRecord;

  constructor(context: VmContext, record: (row: VmRow) => VmRecord) {
    this.#context = context;
    this.#record = record;
  }

  /** Of running VMs; of all of them when none is named. One that ends meanwhile is left out, unless it was named. */
  async stats(references: readonly string[] | undefined, { signal }: { signal: AbortSignal }): Promise<VmStats[]> {
    const { sessions, state } = this.#context;
    const rows = references?.map((one) => this.#find(one)) ?? state.vms.list().filter((row) => row.state === "running");
    const found = rows.map(async (row) => {
      const session = references === undefined ? sessions.get(row.id) : runningSession(sessions, row);
      return session === undefined ? undefined : await statsOf(this.#record(row), session.agent, signal);
    });
    const all = await Promise.all(references === undefined ? found.map((one) => one.catch(() => undefined)) : found);
    signal.throwIfAborted();
    return all.filter((one) => one !== undefined);
  }

  /** What listens in a running VM, and with `follow` again at each change. Throws as `Vms.agent`. */
  async *ports(
    reference: string,
    { follow, signal }: { signal: AbortSignal; follow: boolean },
  ): AsyncGenerator<{ ports: GuestPort[] }> {
    const { forwards, sessions, state } = this.#context;
    const row = this.#find(reference);
    const agent = await runningSession(sessions, row).agent;
    const forwardsNow = () => {
      const now = state.vms.get(row.id);
      return now === undefined ? [] : forwards.list(now);
    };
    for await (const ports of describedPorts(agent, forwardsNow, { follow, signal })) yield { ports };
  }

  /** Absolute path of the console log; the file may not exist yet. */
  consoleLog(reference: string): string {
    return vmPaths(this.#context.paths, this.#find(reference).id).consoleLog;
  }

  /** What an SSH client needs to reach the VM with no trust on first use. */
  async ssh(reference: string, options: { signal: AbortSignal }) {
    const { paths } = this.#context;
    const { id, name } = this.#find(reference);
    const key = await ensureClientKey(paths.sshDir, options);
    return {
      vmId: id,
      name,
      identityFile: key.identityFile,
      knownHostsFile: join(vmPaths(paths, id).dir, "known_hosts"),
      hostAlias: hostAlias(id),
    };
  }

  #find(reference: string): VmRow {
    return findVm(this.#context.state.vms.list(), reference);
  }
}
