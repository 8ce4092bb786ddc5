// The object graph: every real part of a daemon, built once, each given what it needs.
import { join } from "node:path";
import type { Config } from "../config/resolve.ts";
import { listSettings } from "../config/resolve.ts";
import { connectGuest } from "../guest/connect.ts";
import { readPinnedImages } from "../image/pinned/load.ts";
import { openImageStore, type ImageStore } from "../image/store.ts";
import { buildInitramfs } from "../kernel/initramfs.ts";
import { openKernelStore, type KernelStore } from "../kernel/store.ts";
import { parseLoopbackNetwork } from "../lib/loopback-network.ts";
import { Secrets } from "../network/secrets/secrets.ts";
import { openState } from "../state/open.ts";
import type { VmContext, VmSettings } from "../vm/context.ts";
import { openTemplates, type Templates } from "../vm/template/templates.ts";
import { Vms } from "../vm/vms.ts";
import { WorkspaceExports } from "../vm/workspace/exports.ts";
import { WorkspaceTools } from "../vm/workspace/tools.ts";
import { Workspaces } from "../vm/workspace/workspaces.ts";
import { createQemuDriver } from "../vmm/qemu/driver.ts";
import { createHostFiles } from "../vm/host-files/host-files.ts";
import { agentFile } from "./agent-file.ts";
import { createDoctor } from "./doctor/doctor.ts";
import { createLogins } from "./logins.ts";
import type { PartsOptions } from "./main.ts";
import { netdFile } from "./netd-file.ts";
import { createRegistries } from "./registries.ts";
import type { Services } from "./services.ts";

/** Opens the stores and builds the services. Throws `state.newer`, `state.unreadable`. */
export async function openServices({ paths, config, build, log }: PartsOptions): Promise<Services> {
  await using undo = new AsyncDisposableStack();
  const state = undo.use(openState(paths.databaseFile));
  const images = await openImageStore({
    paths,
    log,
    registries: createRegistries({ authFile: paths.registryAuthFile, env: process.env }),
    pinned: await readPinnedImages(config.imageCatalog.value),
    table: state.images,
    limits: { maxBytes: config.images.maxBytes.value, maxEntries: config.images.maxEntries.value },
    usedBy: (id) => vms.usersOfImage(id),
    snapshotsOf: (id) => vms.snapshotsOf("imageId", id),
  });
  const kernels = await openKernelStore({
    paths,
    log,
    table: state.kernels,
    usedBy: (id) => vms.usersOfKernel(id),
    snapshotsOf: (id) => vms.snapshotsOf("kernelId", id),
  });
  const probeKernel = async () => kernels.list()[0]?.kernelPath;
  const settings = vmSettings(config);
  const shared: Pick<VmContext, "driver" | "initramfs" | "connectGuest" | "settings" | "log"> = {
    driver: createQemuDriver({ paths, log, probeKernel }),
    initramfs: (kernel, options) =>
      buildInitramfs({ kernel, agentPath: agentFile(kernel.architecture), cacheDir: paths.cacheDir, log }, options),
    connectGuest,
    settings,
    log,
  };
  const templates = await openTemplates({
    ...shared,
    paths,
    kernels,
    images,
    enabled: config.templates.enabled.value,
    ofImages: config.templates.images.value,
    maxBytes: config.templates.maxBytes.value,
  });
  undo.use(templates);
  const network = parseLoopbackNetwork(config.dns.addresses.value);
  const addresses = network === undefined ? {} : { addresses: { network, homeId: paths.homeId } };
  const hostFiles = createHostFiles({
    fileSync: config.fileSync.value,
    gitIdentity: config.gitIdentity.value,
    log,
  });
  const secrets = new Secrets({ file: paths.secretsFile, authorityDir: paths.authorityDir });
  const vms = new Vms({
    ...shared,
    secrets,
    ...addresses,
    paths,
    state,
    images,
    kernels,
    templates,
    hostFiles,
    network: { program: netdFile, resolvers: config.network.resolvers.value },
    policies: { fallback: config.network.default.value, policies: config.network.policies.value },
  });
  undo.defer(() => vms.close());
  const workspaceExports = undo.use(
    new WorkspaceExports({ vms, paths, maxBytes: config.workspace.maxExportBytes.value, log }),
  );
  await workspaceExports.recover();
  const workspaces = new Workspaces(vms, join(paths.cacheDir, "workspaces"));
  await workspaces.recover();
  const parts = undo.move();
  return {
    vms,
    ...withTemplates(kernels, images, templates),
    logins: createLogins(paths.registryAuthFile),
    templates,
    snapshots: vms.snapshots,
    looks: vms.looks,
    forwards: vms.forwards,
    networks: vms.networks,
    secrets: vms.secrets,
    peers: vms.peers,
    startStats: () => vms.startStats(),
    workspaces,
    workspaceExports,
    workspaceTools: new WorkspaceTools(vms),
    operationStore: state.operations,
    doctor: createDoctor({ paths, config, build, images, kernels, probeKernel }),
    config: () => ({ file: config.file, settings: listSettings(config) }),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** The kernels and the images, with the templates of those that go going with them: a new one may take the place of another. */
function withTemplates(kernels: KernelStore, images: ImageStore, templates: Templates) {
  const thenForget =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const done = await work(...args);
      await templates.forgetRemoved();
      return done;
    };
  const { delete: deleteKernel, importFrom: importKernel, pull: pullKernel } = kernels;
  const { delete: deleteImage, importFrom: importImage, pull: pullImage } = images;
  return {
    kernels: {
      ...kernels,
      delete: thenForget(deleteKernel),
      importFrom: thenForget(importKernel),
      pull: thenForget(pullKernel),
    },
    images: {
      ...images,
      delete: thenForget(deleteImage),
      importFrom: thenForget(importImage),
      pull: thenForget(pullImage),
    },
  };
}

function vmSettings({ defaultImage, defaultKernel, bootTimeoutS, stopTimeoutS, vmDefaults }: Config): VmSettings {
  return {
    defaultImage: defaultImage.value,
    defaultKernel: defaultKernel.value,
    bootTimeoutMs: bootTimeoutS.value * 1000,
    stopTimeoutMs: stopTimeoutS.value * 1000,
    vmDefaults: {
      vcpus: vmDefaults.vcpus.value,
      memoryMib: vmDefaults.memoryMib.value,
      diskBytes: vmDefaults.diskBytes.value,
      overlayBytes: vmDefaults.overlayBytes.value,
    },
  };
}
