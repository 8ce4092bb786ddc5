// Names of what the daemon has, for shell completion: quickly or not at all, and never by starting a daemon.

import type { CliContext, CompletionKind } from "../context.ts";
import type { Client } from "../../sdk/client.ts";

/** A shell that waits for completion is a shell that hangs. */
const deadlineMs = 1500;
/** What a shell can take as a word without quoting. */
const plain = /^[A-Za-z0-9._-]+$/;

/** Empty when the daemon is down or slow. */
export async function liveNames(connect: CliContext["connect"], kind: CompletionKind): Promise<readonly string[]> {
  if (kind === "file") return [];
  try {
    await using client = await connect({ autoStart: false });
    const names = await lookUp[kind](client, AbortSignal.timeout(deadlineMs));
    return names.filter((name) => plain.test(name));
  } catch {
    return [];
  }
}

async function vmNames(client: Client, signal: AbortSignal): Promise<string[]> {
  return (await client.call("vm.list", {}, { signal })).vms.map((vm) => vm.name);
}

async function snapshotNames(client: Client, signal: AbortSignal): Promise<string[]> {
  return (await client.call("snapshot.list", {}, { signal })).snapshots.map((snapshot) => snapshot.name);
}

type LookUp = (client: Client, signal: AbortSignal) => Promise<string[]>;

const lookUp: Record<Exclude<CompletionKind, "file">, LookUp> = {
  vm: vmNames,
  snapshot: snapshotNames,
  "vm-or-snapshot": async (client, signal) =>
    (await Promise.all([vmNames(client, signal), snapshotNames(client, signal)])).flat(),
  template: async (client, signal) =>
    (await client.call("template.list", {}, { signal })).templates.map((template) => template.id.slice(0, 12)),
  image: async (client, signal) => (await client.call("image.list", {}, { signal })).images.map((image) => image.name),
  kernel: async (client, signal) => (await client.call("kernel.list", {}, { signal })).kernels.map((one) => one.name),
  "image-catalog": async (client, signal) =>
    (await client.call("image.catalog", {}, { signal })).entries.map((entry) => entry.name),
  "kernel-catalog": async (client, signal) =>
    (await client.call("kernel.catalog", {}, { signal })).entries.map((entry) => entry.name),
  operation: async (client, signal) =>
    (await client.call("operation.list", {}, { signal })).operations.map((operation) => operation.id),
};
