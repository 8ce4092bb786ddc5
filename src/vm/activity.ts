// What goes on in VMs on behalf of somebody: commands, SSH sessions, forwarded connections. A VM in which nothing does is idle.

/** Called when a VM's count has changed. Must not throw. */
type Listener = (vmId: string, open: number) => void;

export class Activity {
  readonly #open = new Map<string, number>();
  readonly #lastAt = new Map<string, number>();
  readonly #listeners = new Set<Listener>();

  /** Something begins in the VM; it is over when the result is disposed of, which is idempotent. */
  begin(vmId: string): Disposable {
    let over = false;
    this.#add(vmId, 1);
    return {
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        this.#add(vmId, -1);
      },
    };
  }

  /** How many things go on in the VM now. */
  open(vmId: string): number {
    return this.#open.get(vmId) ?? 0;
  }

  /** When something last began or ended in the VM, in milliseconds since 1970; undefined: not since the daemon started. */
  lastAt(vmId: string): number | undefined {
    return this.#lastAt.get(vmId);
  }

  /** Counts as something that began and ended now. */
  touch(vmId: string): void {
    this.begin(vmId)[Symbol.dispose]();
  }

  /** To be called when the VM is gone. */
  forget(vmId: string): void {
    this.#lastAt.delete(vmId);
  }

  /** Calls back at every begin and end until it is disposed of. */
  listen(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #add(vmId: string, change: 1 | -1): void {
    const open = this.open(vmId) + change;
    if (open === 0) this.#open.delete(vmId);
    else this.#open.set(vmId, open);
    this.#lastAt.set(vmId, Date.now());
    for (const listener of this.#listeners) listener(vmId, open);
  }
}
