// A record of a VM for tests of who shows records.
import type { VmRecord } from "../records.ts";

/** A running VM. */
export function fakeVm(name: string, changes: Partial<VmRecord> = {}): VmRecord {
  return {
    id: `id-${name}`,
    name,
    state: "running",
    reason: "",
    image: { id: "i1", name: "debian-bookworm" },
    kernel: { id: "k1", name: "debian" },
    spec: { vcpus: 2, memoryMib: 1024, diskBytes: 8 * 1024 ** 3, overlayBytes: 8 * 1024 ** 3 },
    autoRemove: false,
    workspace: null,
    pid: 1,
    bootId: "b",
    diskUsedBytes: 0,
    init: null,
    baseSnapshot: null,
    labels: {},
    forwards: [],
    lifetime: null,
    address: null,
    network: {
      mode: "none",
      name: null,
      allow: [],
      deny: [],
      hostPorts: [],
      secrets: [],
      join: null,
      state: "off",
      reason: "",
      pid: null,
    },
    lastUsedAt: null,
    lastStart: null,
    dir: "/vms/x",
    createdAt: 0,
    startedAt: 0,
    ...changes,
  };
}
