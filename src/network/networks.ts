// The networks of one home's VMs: which are up, through which process, and why one is not any more. What runs is observed: in the
// process table after a daemon restart, by the end of a process while the daemon runs.
import { readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { NetworkPolicy } from "../api/network-records.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError } from "../lib/errors.ts";
import { newId } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { isAlive } from "../lib/process-table.ts";
import { ask, netdClient, protocolVersion, type NetdClient } from "./client.ts";
import { configText } from "./config-text.ts";
import type { PeersSchema } from "./gen/banger/netd/v1/netd_pb.js";
import { guestAddresses, type GuestAddresses } from "./guest-addresses.ts";
import type { Secrets } from "./secrets/secrets.ts";
import { policyMessage } from "./policy.ts";
import { endNetd, lastWords, listNetds, removeNetdFiles, startNetd, type NetdProcess } from "./process.ts";

/** Far above what a start takes (some ten milliseconds), on a busy host. */
const readyTimeoutMs = 15_000;
const attachTimeoutMs = 10_000;
/** How often a process that is no child of this one is looked at. */
const watchEveryMs = 500;

export interface NetworksOptions {
  vmsDir: string;
  /** Absolute path of banger-netd. Throws `network.missing`. */
  program: () => string;
  /** Name servers that VMs' questions go to; empty: the host's. */
  resolvers: readonly string[];
  secrets: Secrets;
  log: Logger;
  /** A process ended though nobody had asked for it, and its VM's VMM had not closed the connection. */
  onLost: (vmId: string, reason: string) => void;
}

/** What is known of the network of a VM. */
export interface NetworkFact {
  state: "off" | "up" | "failed";
  reason: string;
  pid: number | null;
}

interface Carrier {
  process: NetdProcess;
  client: NetdClient & Disposable;
  addresses: GuestAddresses;
  /** Resolves when it is gone with its files; set by whoever ends it, or by its own end. */
  end: Promise<void> | undefined;
  /** This daemon has let go of it. */
  over: boolean;
}

const off: NetworkFact = { state: "off", reason: "", pid: null };

/** See the file's comment. One verb at a time for each VM: the callers hold its lock. */
export class Networks {
  readonly #options: NetworksOptions;
  readonly #carriers = new Map<string, Carrier>();
  /** Why the network of a VM is gone. */
  readonly #failures = new Map<string, string>();

  constructor(options: NetworksOptions) {
    this.#options = options;
  }

  fact(vmId: string): NetworkFact {
    const carrier = this.#living(vmId);
    if (carrier !== undefined) return { state: "up", reason: "", pid: carrier.process.pid };
    const reason = this.#failures.get(vmId);
    return reason === undefined ? off : { state: "failed", reason, pid: null };
  }

  /** Throws `network.missing` when there is no program to start. */
  requireProgram(): void {
    this.#options.program();
  }

  /**
   * Has a network for the VM that nobody is connected to yet, or the one that is there; the VMM may be started before or after. Resolves
   * with how the guest is to be configured. Throws `network.missing`, `network.failed`, or the signal's reason; then there is none.
   */
  async ensure(
    vmId: string,
    start: { vmmSocket: string; policy: NetworkPolicy },
    options: { signal: AbortSignal },
  ): Promise<GuestAddresses> {
    const there = this.#living(vmId);
    if (there !== undefined && isAlive(there.process)) return there.addresses;
    await this.end(vmId);
    return await this.#start(vmId, start, options);
  }

  /**
   * Resolves when the VMM is connected; starts a network anew when the one before went with a VMM that was given up. Throws
   * `network.failed`, or the signal's reason.
   */
  async attached(
    vmId: string,
    start: { vmmSocket: string; policy: NetworkPolicy },
    options: { signal: AbortSignal },
  ): Promise<void> {
    using limit = deadline(options.signal, attachTimeoutMs, () => {
      return new BangerError("network.failed", `the VM did not get its network within ${attachTimeoutMs / 1000} s`);
    });
    const { signal } = limit;
    for (let pauseMs = 2; ; pauseMs = Math.min(50, pauseMs * 2)) {
      await this.ensure(vmId, start, { signal });
      const carrier = this.#living(vmId);
      const status = await carrier?.client.status({}, { signal }).catch(() => undefined);
      if (status?.attached === true) return;
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** Ends the network of a VM and forgets what became of it. Idempotent. */
  async end(vmId: string): Promise<void> {
    this.#failures.delete(vmId);
    const carrier = this.#carriers.get(vmId);
    if (carrier === undefined) return;
    await this.#endOf(carrier);
    crashPoint("network.ended");
  }

  /**
   * Finds the networks of a former daemon: those of `wanted` VMs are taken over when they answer as theirs; all others are ended. A VM
   * that is wanted and has none is in the result.
   */
  async recover(wanted: ReadonlySet<string>, options: { signal: AbortSignal }): Promise<string[]> {
    const { log, vmsDir } = this.#options;
    await Promise.all(
      listNetds(vmsDir).map(async (process) => {
        const { pid, vmId } = process;
        try {
          if (wanted.has(vmId) && !this.#carriers.has(vmId) && (await this.#adopt(process, options))) return;
          log.warn("ending a network that no VM uses", { vm: vmId, pid });
          await endNetd(process, this.#dirOf(vmId));
        } catch (error) {
          log.error("a network of a former daemon could not be ended", { vm: vmId, pid, error });
        }
      }),
    );
    options.signal.throwIfAborted();
    // Of starts that came no further than their files.
    for (const vmId of await readdir(vmsDir)) {
      if (!this.#carriers.has(vmId)) await removeNetdFiles(this.#dirOf(vmId));
    }
    return [...wanted].filter((vmId) => !this.#carriers.has(vmId));
  }

  /** Marks the network of a VM as gone. */
  fail(vmId: string, reason: string): void {
    this.#failures.set(vmId, reason);
  }

  /** Calls on the network of a VM. Throws `network.off`, or `network.failed` when it is gone. */
  client(vmId: string, name: string): NetdClient {
    const carrier = this.#living(vmId);
    if (carrier !== undefined) return carrier.client;
    const reason = this.#failures.get(vmId);
    if (reason !== undefined) {
      throw new BangerError("network.failed", `the network of VM "${name}" is gone: ${reason}`, {
        hint: `banger net restart ${name}`,
      });
    }
    throw new BangerError("network.off", `VM "${name}" has no network`, {
      hint: `banger vm set ${name} --network balanced`,
    });
  }

  /** Changes the policy of a network that is up; nothing happens otherwise. Returns how many connections were cut. */
  async setPolicy(vmId: string, policy: NetworkPolicy, options: { signal: AbortSignal }): Promise<number> {
    const carrier = this.#living(vmId);
    if (carrier === undefined) return 0;
    const request = { policy: policyMessage(policy) };
    const { cut } = await ask("set policy", options, (call) => carrier.client.setPolicy(request, call));
    return cut;
  }

  /** Gives a network that is up the values that its secrets have now. */
  async refreshSecrets(vmId: string, policy: NetworkPolicy, options: { signal: AbortSignal }): Promise<void> {
    const carrier = this.#living(vmId);
    const secrets = await this.#options.secrets.messageFor(policy.secrets, options);
    if (carrier === undefined || secrets === undefined) return;
    await ask("set secrets", options, (call) => carrier.client.setSecrets({ secrets }, call));
  }

  /** Says who else is in its network with a VM whose network is up. */
  async setPeers(
    vmId: string,
    peers: MessageInitShape<typeof PeersSchema>,
    options: { signal: AbortSignal },
  ): Promise<void> {
    const carrier = this.#living(vmId);
    if (carrier !== undefined) await ask("set peers", options, (call) => carrier.client.setPeers({ peers }, call));
  }

  /** Lets go of all; they go on. */
  close(): void {
    for (const [vmId, carrier] of this.#carriers) this.#letGo(vmId, carrier);
  }

  async #start(
    vmId: string,
    { vmmSocket, policy }: { vmmSocket: string; policy: NetworkPolicy },
    options: { signal: AbortSignal },
  ): Promise<GuestAddresses> {
    const { program, resolvers, secrets } = this.#options;
    const dir = this.#dirOf(vmId);
    const startId = newId();
    const messages = await secrets.messageFor(policy.secrets, options);
    const config = configText({ vmId, startId, resolvers, policy, secrets: messages });
    options.signal.throwIfAborted();
    const { process, exited, ready } = await startNetd({ program: program(), vmId, startId, dir, vmmSocket, config });
    using limit = deadline(options.signal, readyTimeoutMs, () => {
      return new BangerError("network.failed", `the VM's network was not ready within ${readyTimeoutMs / 1000} s`);
    });
    try {
      await orAborted(ready, limit.signal);
      crashPoint("network.ready");
      return await this.#take(process, exited, limit);
    } catch (error) {
      await endNetd(process, dir);
      throw error;
    }
  }

  async #adopt(process: NetdProcess, options: { signal: AbortSignal }): Promise<boolean> {
    const { log } = this.#options;
    try {
      await this.#take(process, untilGone(process), options);
      log.info("found the network of a VM again", { vm: process.vmId, pid: process.pid });
      return true;
    } catch (error) {
      log.warn("the network of a VM does not answer as it should", { vm: process.vmId, error });
      return false;
    }
  }

  /** Believes the process only when it says who it is. */
  async #take(
    process: NetdProcess,
    exited: Promise<string>,
    options: { signal: AbortSignal },
  ): Promise<GuestAddresses> {
    const { vmId, startId } = process;
    const client = netdClient(this.#dirOf(vmId));
    try {
      const status = await ask("status", options, (call) => client.status({}, call));
      if (status.vmId !== vmId || status.startId !== startId || status.protocol !== protocolVersion) {
        throw new BangerError("network.failed", `another process answers for the network of VM "${vmId}"`);
      }
      const carrier: Carrier = {
        process,
        client,
        addresses: guestAddresses(status.addresses),
        end: undefined,
        over: false,
      };
      this.#carriers.set(vmId, carrier);
      this.#failures.delete(vmId);
      void exited.then((how) => this.#exited(carrier, how));
      return carrier.addresses;
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
  }

  async #exited(carrier: Carrier, how: string): Promise<void> {
    const { vmId, pid } = carrier.process;
    if (carrier.end !== undefined || carrier.over) return;
    const words = await lastWords(this.#dirOf(vmId));
    try {
      await this.#endOf(carrier);
    } catch (error) {
      this.#options.log.error("what a network left could not be removed", { vm: vmId, error });
    }
    // Else its VMM has closed the connection.
    if (how !== "exit code 0") this.#options.onLost(vmId, `its process (pid ${pid}) ended with ${how}${words}`);
  }

  /** At most once for each: later files of the same names belong to a later process. */
  #endOf(carrier: Carrier): Promise<void> {
    const { process } = carrier;
    carrier.end ??= endNetd(process, this.#dirOf(process.vmId)).finally(() => this.#letGo(process.vmId, carrier));
    return carrier.end;
  }

  #letGo(vmId: string, carrier: Carrier): void {
    if (carrier.over) return;
    carrier.over = true;
    carrier.client[Symbol.dispose]();
    if (this.#carriers.get(vmId) === carrier) this.#carriers.delete(vmId);
  }

  /** That of a VM, unless it has ended or is being ended. */
  #living(vmId: string): Carrier | undefined {
    const carrier = this.#carriers.get(vmId);
    return carrier?.end === undefined ? carrier : undefined;
  }

  #dirOf(vmId: string): string {
    return join(this.#options.vmsDir, vmId);
  }
}

/** Resolves when a process that is no child of this one is gone; how it ended is not to be known. */
async function untilGone(process: NetdProcess): Promise<string> {
  while (isAlive(process)) await sleep(watchEveryMs, undefined, { ref: false });
  return "an end that nobody saw";
}
