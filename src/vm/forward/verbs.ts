// What users do with forwards, and what the names of VMs mean.
import type { ForwardState, NewForward } from "../../api/forward-methods.ts";
import { BangerError } from "../../lib/errors.ts";
import type { VmContext } from "../context.ts";
import { findVm } from "../reference.ts";
import { defaultHost, matchForwards } from "./plan.ts";

/** References are names, ids or unambiguous prefixes; every method that takes one throws `vm.not-found` and `vm.ambiguous`. */
export class ForwardVerbs {
  readonly #context: VmContext;

  constructor(context: VmContext) {
    this.#context = context;
  }

  /** To a running VM, until it stops. Throws `vm.wrong-state`, `usage`, `port.in-use`, `port.failed`; then it is as before. */
  async add(
    reference: string,
    wanted: readonly NewForward[],
    options: { signal: AbortSignal },
  ): Promise<ForwardState[]> {
    const { forwards, locks } = this.#context;
    const { id } = this.#find(reference);
    using _lock = await locks.acquire(id, options.signal);
    const row = this.#find(id);
    if (row.state !== "running") {
      throw new BangerError("vm.wrong-state", `VM "${row.name}" is not running (${row.state})`, {
        hint: `banger vm ${row.state === "paused" ? "resume" : "start"} ${row.name}`,
      });
    }
    await forwards.add(row, wanted);
    return forwards.list(this.#find(id));
  }

  /** From a VM in whatever state; `plan.ts` says what the texts may be. Throws `usage` when one means nothing. */
  async remove(reference: string, texts: readonly string[], options: { signal: AbortSignal }): Promise<ForwardState[]> {
    const { forwards, locks } = this.#context;
    const { id } = this.#find(reference);
    using _lock = await locks.acquire(id, options.signal);
    const row = this.#find(id);
    await forwards.remove(
      row,
      texts.flatMap((text) => matchForwards(row.forwards, text, row.name)),
    );
    return forwards.list(this.#find(id));
  }

  list(reference: string): ForwardState[] {
    return this.#context.forwards.list(this.#find(reference));
  }

  /** Of the VM with exactly this name: its own, or 127.0.0.1 when it has none. Undefined when there is no such VM. */
  addressOf(name: string): string | undefined {
    const row = this.#context.state.vms.byName(name);
    return row === undefined ? undefined : (row.address ?? defaultHost);
  }

  #find(reference: string) {
    return findVm(this.#context.state.vms.list(), reference);
  }
}
