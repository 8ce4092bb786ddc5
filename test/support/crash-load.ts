// Random load on a daemon that is killed at random instants: several verbs at once on a few VMs. What was acknowledged is noted, and
// checked after each kill.
import assert from "node:assert/strict";
import { toBangerError } from "../../src/lib/errors.ts";
import { pick, type Random } from "../../src/lib/testdata/fuzz.ts";
import { mib } from "../../src/lib/units.ts";
import type { Client } from "../../src/sdk/client.ts";
import { checkAfterCrash, type Witnesses } from "./after-crash.ts";
import { type CrashHome, isInterruption, smallSpec } from "./crash-home.ts";

/** What may answer a verb that comes at a wrong time; all else is a bug. */
const refusals =
  /^(?:vm\.(?:wrong-state|not-found|name-taken|ambiguous|broken)|snapshot\.(?:not-found|name-taken|incompatible)|cancelled|port\.in-use|daemon\.shutting-down)$/;
/** What the VMs may reach, by turns. */
const networks = ["none", "locked", "balanced"] as const;
const maxVms = 6;
const maxSnapshots = 8;
const longestRoundMs = 1600;

interface Verb {
  weight: number;
  run: (client: Client, vm: string) => Promise<unknown>;
}

export class CrashLoad {
  readonly #home: CrashHome;
  readonly #witnesses: Witnesses;
  readonly #random: Random;
  /** Ids of VMs whose creation was told of and whose deletion nobody asked for; with a mark in them when `true`. */
  readonly #acknowledged = new Map<string, boolean>();
  #made = 0;
  /** How many verbs were begun, and how many of them were cut by a kill. */
  verbs = 0;
  cut = 0;

  constructor(home: CrashHome, witnesses: Witnesses, random: Random) {
    this.#home = home;
    this.#witnesses = witnesses;
    this.#random = random;
  }

  /** VMs that were made so far. */
  get made(): number {
    return this.#made;
  }

  /** Some verbs at once, a kill in the middle of them, and the check of what the next daemon finds. */
  async round(): Promise<void> {
    const random = this.#random;
    const verbs = await this.#choose(1 + random(4));
    this.verbs += verbs.length;
    const outcomes = await this.#home.dieAfter(random(longestRoundMs), verbs);
    for (const outcome of outcomes.filter((one) => one instanceof Error)) {
      if (isInterruption(outcome)) this.cut++;
      else assert.match(toBangerError(outcome).code, refusals, String(outcome.stack ?? outcome));
    }
    await checkAfterCrash(this.#home, this.#witnesses, [...this.#acknowledged.keys()]);
    await this.#checkMarks();
  }

  /** Every VM that is left can be used, or at least started, and has what was put into it. */
  async finish(): Promise<void> {
    for (const [id, marked] of this.#acknowledged) {
      await this.#home.ensure((await this.#home.client.call("vm.show", { vm: id })).name, "running");
      if (marked) assert.equal(await this.#home.readMark(id), id);
      await this.#home.client.call("vm.kill", { vm: id });
    }
  }

  async #checkMarks(): Promise<void> {
    for (const { bootId, id, state } of await this.#home.records()) {
      if (state !== "running" || this.#acknowledged.get(id) !== true) continue;
      assert.equal(await this.#home.readMark(id), id);
      assert.equal(await this.#home.output(id, "cat", "/proc/sys/kernel/random/boot_id"), bootId);
    }
  }

  async #choose(count: number): Promise<((client: Client) => Promise<unknown>)[]> {
    const { running, stopped } = this.#witnesses;
    const records = (await this.#home.records()).filter(({ id }) => id !== running.id && id !== stopped.id);
    const { snapshots } = await this.#home.client.call("snapshot.list", {});
    const random = this.#random;
    const chosen: ((client: Client) => Promise<unknown>)[] = [];
    for (let number = 0; number < count; number++) {
      const vm = records.length === 0 ? undefined : pick(random, records);
      if (vm === undefined || (records.length + chosen.length < maxVms && random(4) === 0)) {
        chosen.push((client) => this.#create(client, random(3) === 0));
        continue;
      }
      if (snapshots.length > 0 && (snapshots.length > maxSnapshots || random(8) === 0)) {
        const { id, vm: of } = pick(random, snapshots);
        if (snapshots.length > maxSnapshots || random(2) === 0) {
          chosen.push((client) => client.call("snapshot.delete", { snapshot: id }));
        } else if (records.some((one) => one.id === of.id)) {
          chosen.push((client) => client.operate("vm.restore", { vm: of.id, snapshot: id }));
        }
        continue;
      }
      const verb = this.#pickVerb(records.length >= maxVms);
      chosen.push((client) => verb.run(client, vm.id));
    }
    return chosen;
  }

  #pickVerb(full: boolean): Verb {
    const verbs: Verb[] = [
      { weight: 6, run: (client, vm) => client.operate("vm.start", { vm }) },
      { weight: 3, run: (client, vm) => client.operate("vm.stop", { vm }) },
      { weight: 2, run: (client, vm) => client.call("vm.kill", { vm }) },
      { weight: full ? 6 : 1, run: (client, vm) => this.#delete(client, vm) },
      { weight: 3, run: (client, vm) => client.operate("vm.pause", { vm, keepRunning: this.#random(2) === 0 }) },
      { weight: 4, run: (client, vm) => client.operate("vm.resume", { vm }) },
      { weight: 3, run: (client, vm) => client.operate("snapshot.create", { vm }) },
      { weight: full ? 0 : 3, run: (client, vm) => this.#fork(client, vm) },
      { weight: 3, run: (client, vm) => this.#setNetwork(client, vm) },
      { weight: 1, run: grow },
      { weight: 1, run: (client, vm) => client.call("vm.rename", { vm, name: `vm-${this.#random(1_000_000)}` }) },
      { weight: 1, run: (client, vm) => client.call("vm.forward", { vm, add: [{ target: "80" }] }) },
    ];
    let at = this.#random(verbs.reduce((sum, { weight }) => sum + weight, 0));
    return verbs.find(({ weight }) => (at -= weight) < 0) ?? pick(this.#random, verbs);
  }

  async #create(client: Client, atRest: boolean): Promise<void> {
    const network = { use: pick(this.#random, networks) };
    const vm = await client.operate("vm.create", { ...smallSpec, start: !atRest, network });
    this.#acknowledged.set(vm.id, false);
    this.#made++;
    if (atRest) return;
    await this.#home.mark(vm, client);
    this.#acknowledged.set(vm.id, true);
  }

  async #setNetwork(client: Client, vm: string): Promise<void> {
    await client.call("net.set", { vm, change: { use: pick(this.#random, networks) } });
  }

  async #fork(client: Client, source: string): Promise<void> {
    const { vms } = await client.operate("vm.fork", { source });
    for (const { id } of vms) this.#acknowledged.set(id, false);
    this.#made += vms.length;
  }

  async #delete(client: Client, vm: string): Promise<void> {
    // From here on it may be gone.
    this.#acknowledged.delete(vm);
    await client.operate("vm.delete", { vm });
  }
}

async function grow(client: Client, vm: string): Promise<void> {
  const { spec } = await client.call("vm.show", { vm });
  await client.operate("vm.set", { vm, diskBytes: spec.diskBytes + mib });
}
