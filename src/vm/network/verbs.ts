// What users do with the networks of VMs, and what happens to those by themselves.
import type { NetworkChange, NetworkRecord, NetworkState } from "../../api/network-records.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { checkConnection, readLog, type CheckQuestion, type CheckAnswer } from "../../network/inspect.ts";
import { noNetwork } from "../../network/policy.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import { findVm } from "../reference.ts";
import type { Session } from "../sessions.ts";
import { changedPolicy, changeNetwork, giveNetwork } from "./change.ts";
import { hasNetwork } from "./network-use.ts";
import { introduceAll } from "./peers.ts";

/** What carries a network is started anew this often within this time; then it stays gone until somebody asks. */
const maxRestarts = 3;
const restartWindowMs = 60_000;

/** References are names, ids or unambiguous prefixes; every method that takes one throws `vm.not-found` and `vm.ambiguous`. */
export class NetworkVerbs {
  readonly #context: VmContext;
  /** When networks were started anew by themselves, by VM. */
  readonly #restarts = new Map<string, number[]>();

  constructor(context: VmContext) {
    this.#context = context;
  }

  stateOf(row: VmRow): NetworkState {
    const { networks, sessions } = this.#context;
    const policy = row.network ?? noNetwork;
    const runs = hasNetwork(row) && sessions.get(row.id) !== undefined;
    return { ...policy, ...(runs ? networks.fact(row.id) : { state: "off", reason: "", pid: null }) };
  }

  show(reference: string): NetworkState {
    return this.stateOf(this.#find(reference));
  }

  async change(
    reference: string,
    change: NetworkChange,
    options: { signal: AbortSignal },
  ): Promise<{ network: NetworkState; cut: number }> {
    const { locks, policies } = this.#context;
    const { id } = this.#find(reference);
    using _lock = await locks.acquire(id, options.signal);
    const row = this.#find(id);
    const policy = changedPolicy(row.network ?? noNetwork, change, policies);
    const cut = await changeNetwork(this.#context, row, policy, options);
    return { network: this.show(id), cut };
  }

  /** What the network of a running VM would do with a connection. Throws `network.off`, `network.failed`. */
  async check(reference: string, question: CheckQuestion, options: { signal: AbortSignal }): Promise<CheckAnswer> {
    return await checkConnection(this.#client(reference), question, options);
  }

  /** What went through the network of a running VM, and with `follow` what goes. */
  log(
    reference: string,
    options: { after: number; follow: boolean; signal: AbortSignal },
  ): AsyncGenerator<NetworkRecord> {
    return readLog(this.#client(reference), options);
  }

  /** Starts what carries the network of a running VM anew: open connections end. */
  async restart(reference: string, options: { signal: AbortSignal }): Promise<NetworkState> {
    const { locks, networks } = this.#context;
    const { id } = this.#find(reference);
    using _lock = await locks.acquire(id, options.signal);
    const row = this.#find(id);
    const session = this.#running(row);
    if (!hasNetwork(row)) networks.client(id, row.name);
    await networks.end(id);
    await giveNetwork(this.#context, row, row.network ?? noNetwork, session, options);
    return this.show(id);
  }

  /**
   * At the start of a daemon, after its VMs were found: each network goes on with the policy of the record, the values that its secrets
   * have and the others of its network, and none is left over.
   */
  async recover(options: { signal: AbortSignal }): Promise<void> {
    const { networks, sessions, state, log } = this.#context;
    const rows = state.vms.list().filter((row) => hasNetwork(row) && sessions.get(row.id) !== undefined);
    const missing = await networks.recover(new Set(rows.map(({ id }) => id)), options);
    await Promise.all(
      rows.map(async (row) => {
        if (missing.includes(row.id)) {
          void this.lost(row.id, "it was gone when the daemon started");
          return;
        }
        try {
          await networks.setPolicy(row.id, row.network ?? noNetwork, options);
        } catch (error) {
          options.signal.throwIfAborted();
          log.error("the policy of a VM could not be set again", { vm: row.id, error });
          await networks.end(row.id);
          networks.fail(row.id, toBangerError(error).message);
          return;
        }
        await this.#recoverSecrets(row, options);
      }),
    );
    await introduceAll(this.#context);
  }

  /** The values that were stored last. Those of commands stay: one that takes long must not keep a daemon from its clients. */
  async #recoverSecrets({ id, network }: VmRow, options: { signal: AbortSignal }): Promise<void> {
    const { log, networks, secrets } = this.#context;
    try {
      if (network !== null && secrets.areStored(network.secrets)) await networks.refreshSecrets(id, network, options);
    } catch (error) {
      options.signal.throwIfAborted();
      log.warn("the secrets of a VM could not be set again", { vm: id, error });
    }
  }

  /** What carried the network of a VM has ended: it is started anew, unless that was of no use before. Never throws. */
  async lost(vmId: string, reason: string): Promise<void> {
    const { locks, log, networks, state } = this.#context;
    networks.fail(vmId, reason);
    if (!this.#mayRestart(vmId)) {
      log.error("the network of a VM is gone", { vm: vmId, reason });
      return;
    }
    try {
      const signal = neverAborted;
      using _lock = await locks.acquire(vmId, signal);
      const row = state.vms.get(vmId);
      const session = this.#context.sessions.get(vmId);
      // The end of its machine, a stop or another start may have come first.
      if (row?.state !== "running" || session === undefined || session.ending || !hasNetwork(row)) return;
      if (networks.fact(vmId).state !== "failed") return;
      log.warn("the network of a VM is started anew", { vm: vmId, reason });
      await giveNetwork(this.#context, row, row.network, session, { signal });
    } catch (error) {
      const why = `${reason}; started anew, it failed: ${toBangerError(error).message}`;
      networks.fail(vmId, why);
      log.error("the network of a VM could not be started anew", { vm: vmId, reason: why });
    }
  }

  /** Never throws. */
  async machineEnded(vmId: string): Promise<void> {
    this.#restarts.delete(vmId);
    try {
      await this.#context.networks.end(vmId);
    } catch (error) {
      this.#context.log.error("the network of a VM could not be ended", { vm: vmId, error });
    }
  }

  #mayRestart(vmId: string): boolean {
    const nowMs = performance.now();
    const recent = (this.#restarts.get(vmId) ?? []).filter((atMs) => nowMs - atMs < restartWindowMs);
    this.#restarts.set(vmId, [...recent, nowMs]);
    return recent.length < maxRestarts;
  }

  #client(reference: string) {
    const row = this.#find(reference);
    this.#running(row);
    return this.#context.networks.client(row.id, row.name);
  }

  #running(row: VmRow): Session {
    const session = this.#context.sessions.get(row.id);
    if (session !== undefined && row.state === "running") return session;
    throw new BangerError("vm.wrong-state", `VM "${row.name}" is not running (${row.state})`, {
      hint: `banger vm ${row.state === "paused" ? "resume" : "start"} ${row.name}`,
    });
  }

  #find(reference: string): VmRow {
    return findVm(this.#context.state.vms.list(), reference);
  }
}

const neverAborted = new AbortController().signal;
