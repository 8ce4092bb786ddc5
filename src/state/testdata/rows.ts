// Rows for tests of the state.
import type { Operation } from "../../api/records.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import type { State } from "../open.ts";
import type { SnapshotRow } from "../snapshots.ts";
import type { VmRow } from "../vms.ts";

export const exampleWorkspace: WorkspaceRecord = {
  guestPath: "/root/repo",
  workdir: "/root/repo/web",
  sourcePath: "/home/me/repo/web",
  root: "/home/me/repo",
  repoName: "repo",
  mode: "shallow",
  includeUntracked: false,
  branch: "main",
  headCommit: "1".repeat(40),
  startCommit: "1".repeat(40),
  baseTree: "2".repeat(40),
  metaPath: "/root/repo/.git/banger",
  preparedAt: 5,
  syncedAt: 6,
};

export function exampleVm(change: Partial<VmRow> = {}): VmRow {
  return {
    id: "0123456789ab",
    name: "swift-otter",
    state: "created",
    reason: "",
    imageId: "aaaa",
    imageName: "debian-bookworm",
    kernelId: "bbbb",
    kernelName: "debian-bookworm-cloud",
    spec: { vcpus: 2, memoryMib: 1024, diskBytes: 8 * 2 ** 30, overlayBytes: 8 * 2 ** 30 },
    autoRemove: false,
    workspace: null,
    hostKeyPem: "PRIVATE",
    hostKeyPublic: "ssh-ed25519 AAAA",
    bootId: null,
    baseSnapshotId: null,
    diskEpoch: 0,
    init: null,
    labels: {},
    forwards: [],
    lifetime: null,
    address: null,
    network: null,
    lastUsedAt: null,
    lastStart: null,
    fingerprint: null,
    createdAt: 1002,
    startedAt: null,
    ...change,
  };
}

export function exampleSnapshot(change: Partial<SnapshotRow> = {}): SnapshotRow {
  return {
    id: "5555",
    name: "base",
    parentId: null,
    complete: true,
    vmId: "0123456789ab",
    vmName: "swift-otter",
    imageId: "aaaa",
    imageName: "debian-bookworm",
    kernelId: "bbbb",
    kernelName: "debian-bookworm-cloud",
    spec: { vcpus: 2, memoryMib: 1024, diskBytes: 8 * 2 ** 30, overlayBytes: 8 * 2 ** 30 },
    init: null,
    workspace: null,
    network: null,
    fingerprint: "ffff",
    warm: false,
    pausedMs: 12.5,
    createdAt: 1003,
    ...change,
  };
}

/** The image and kernel that exampleVm is made of. */
export function addParts(state: State): void {
  state.images.insert({ id: "aaaa", name: "debian-bookworm", manifest: "{}", createdAt: 1000 });
  state.kernels.insert({ id: "bbbb", name: "debian-bookworm-cloud", manifest: "{}", createdAt: 1001 });
}

export function exampleOperation(change: Partial<Operation> = {}): Operation {
  return {
    id: "op-00000001",
    kind: "vm.create",
    target: "swift-otter",
    stage: "boot",
    detail: "",
    progress: null,
    startedAt: 10,
    updatedAt: 20,
    done: false,
    error: null,
    result: null,
    ...change,
  };
}
