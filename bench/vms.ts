// VMs for measurements, through the client library: what a program sees that keeps its connection to the daemon's home.
import { Writable } from "node:stream";
import type { ParamsOf } from "../src/api/methods.ts";
import type { VmRecord } from "../src/api/records.ts";
import type { Client } from "../src/sdk/client.ts";
import { exec } from "../src/sdk/exec.ts";

/** What VMs are made of when nothing else is said. */
const image = "debian-bookworm";

/** Has the templates made that new VMs of this shape come from: those of the shape and of the image. */
export async function warm(client: Client, shape: Pick<CreateParams, "vcpus" | "memoryMib">): Promise<void> {
  await client.operate("template.warm", { ...shape, image });
}

export type CreateParams = ParamsOf<"vm.create">;

/** Milliseconds that something took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Runs a command to its end, and fails when it does. `onOutput` gets its stdout as it comes. */
export async function execIn(
  client: Client,
  vm: string,
  argv: string[],
  options: { signal?: AbortSignal; onOutput?: (text: string) => void } = {},
): Promise<void> {
  const { signal, onOutput } = options;
  const stdout = sink((text) => onOutput?.(text));
  const remote = await exec(
    client,
    { vm, argv },
    { stdout, stderr: sink(() => {}), ...(signal === undefined ? {} : { signal }) },
  );
  const { code } = await remote.exited;
  if (code !== 0) throw new Error(`"${argv.join(" ")}" in VM "${vm}" ended with ${code}`);
}

/** A started VM; the caller disposes it, which removes it. */
export async function createVm(client: Client, params: CreateParams): Promise<VmRecord & AsyncDisposable> {
  return removedAtEnd(client, await client.operate("vm.create", params));
}

/** The same record, whose VM goes when it is disposed. */
export function removedAtEnd(client: Client, vm: VmRecord): VmRecord & AsyncDisposable {
  return { ...vm, [Symbol.asyncDispose]: async () => void (await client.operate("vm.delete", { vm: vm.id })) };
}

export interface FirstExec {
  totalMs: number;
  /** Until the daemon said that the VM runs. */
  createMs: number;
  execMs: number;
  vm: VmRecord;
}

/** From the request for a VM to the exit status of its first command. The caller removes the VM. */
export async function createToExec(client: Client, params: CreateParams): Promise<FirstExec> {
  const started = performance.now();
  const vm = await client.operate("vm.create", params);
  const createMs = performance.now() - started;
  await execIn(client, vm.id, ["true"]);
  const totalMs = performance.now() - started;
  return { totalMs, createMs, execMs: totalMs - createMs, vm };
}

/** As createToExec, of a VM that is removed when it was measured. */
export async function firstExec(client: Client, params: CreateParams): Promise<FirstExec> {
  const first = await createToExec(client, params);
  await client.operate("vm.delete", { vm: first.vm.id });
  return first;
}

/** Throws when the VM did not come up the way that is measured. */
export function expectStart(vm: VmRecord, kind: "image" | "template" | "cold"): void {
  const last = vm.lastStart;
  if (last?.kind === kind) return;
  throw new Error(
    `VM "${vm.name}" was to start from "${kind}", but: ${last?.kind ?? "no start"} ${last?.reason ?? ""}`,
  );
}

function sink(take: (text: string) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      take(chunk.toString());
      done();
    },
  });
}
