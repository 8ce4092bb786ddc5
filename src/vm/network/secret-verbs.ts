// What users do with secrets: values reach the networks of VMs that run, and go nowhere else.
import type { SecretRecord } from "../../api/secret-methods.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import type { NewSecret, StoredSecret } from "../../network/secrets/store.ts";
import type { VmContext } from "../context.ts";

export class SecretVerbs {
  readonly #context: VmContext;

  constructor(context: VmContext) {
    this.#context = context;
  }

  list(): SecretRecord[] {
    return this.#context.secrets.store.list().map((secret) => this.#record(secret));
  }

  /** Throws `secret.invalid`, and `secret.failed` when its command gives nothing. */
  async set(secret: NewSecret, options: { signal: AbortSignal }): Promise<SecretRecord> {
    const { networks, secrets, sessions, state } = this.#context;
    await secrets.store.verify(secret, options);
    const stored = await secrets.store.set(secret, options);
    crashPoint("secret.stored");
    for (const row of state.vms.list()) {
      const { network } = row;
      if (network?.secrets.includes(stored.name) !== true || sessions.get(row.id) === undefined) continue;
      await networks.refreshSecrets(row.id, network, options);
      crashPoint("secret.told");
    }
    return this.#record(stored);
  }

  /** Throws `secret.not-found`, `secret.invalid` while a VM has it. */
  async remove(name: string, options: { signal: AbortSignal }): Promise<void> {
    const [user] = this.#usersOf(name);
    if (user !== undefined) {
      throw new BangerError("secret.invalid", `secret "${name}" is used by VM "${user}"`, {
        hint: `banger net policy ${user} --set none  # or delete the VM`,
      });
    }
    await this.#context.secrets.store.remove(name, options);
    crashPoint("secret.removed");
  }

  #usersOf(name: string): string[] {
    return this.#context.state.vms.list().flatMap((row) => (row.network?.secrets.includes(name) ? [row.name] : []));
  }

  #record({ name, hosts, headers, env, placeholder, command, createdAt }: StoredSecret): SecretRecord {
    return { name, hosts, headers, env, placeholder, command, createdAt, usedBy: this.#usersOf(name) };
  }
}
