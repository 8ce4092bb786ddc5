// What holds for each setting, and why: the file, the size of this host, or the built-in default.
import { availableParallelism, totalmem } from "node:os";
import type * as v from "valibot";
import type { LogLevel } from "../lib/log.ts";
import { mib } from "../lib/units.ts";
import type { FileSync } from "./file-sync.ts";
import type { ConfigFile, networkPolicyTable } from "./schema.ts";

export interface Setting<T> {
  value: T;
  /** "host": follows from the size of this machine. */
  origin: "file" | "host" | "default";
  /** Line of the file when origin is "file". */
  line: number | null;
}

export interface Config {
  /** The file that was read, or would have been. */
  file: string;
  logLevel: Setting<LogLevel>;
  defaultImage: Setting<string>;
  defaultKernel: Setting<string>;
  /** File with images of the user's own; "": none. */
  imageCatalog: Setting<string>;
  /** Seconds. */
  bootTimeoutS: Setting<number>;
  /** Seconds. */
  stopTimeoutS: Setting<number>;
  gitIdentity: Setting<boolean>;
  fileSync: Setting<readonly FileSync[]>;
  vmDefaults: {
    vcpus: Setting<number>;
    memoryMib: Setting<number>;
    diskBytes: Setting<number>;
    overlayBytes: Setting<number>;
  };
  templates: { enabled: Setting<boolean>; images: Setting<boolean>; maxBytes: Setting<number> };
  /** `addresses`: a network of the loopback. */
  dns: { port: Setting<number>; addresses: Setting<string> };
  /** `default`: a mode or the name of a policy; `resolvers` empty: the host's. */
  network: {
    default: Setting<string>;
    resolvers: Setting<readonly string[]>;
    policies: Setting<ReadonlyMap<string, NetworkPolicyTable>>;
  };
  images: { maxBytes: Setting<number>; maxEntries: Setting<number> };
  workspace: { maxExportBytes: Setting<number> };
}

export interface Host {
  cpus: number;
  memoryBytes: number;
}

export function thisHost(): Host {
  return { cpus: availableParallelism(), memoryBytes: totalmem() };
}

const diskBytes = 8 * 1024 * mib;
const templateBytes = 4 * 1024 * mib;
const imageBytes = 64 * 1024 * mib;
const exportBytes = 1024 * mib;
const imageEntries = 1_000_000;

/** Pure: `lines` says where in the file each key stands. */
export function resolveConfig(file: string, set: ConfigFile, lines: ReadonlyMap<string, number>, host: Host): Config {
  const pick = <T>(key: string, value: T | undefined, otherwise: T | Setting<T>): Setting<T> => {
    if (value !== undefined) return { value, origin: "file", line: lines.get(key) ?? null };
    return isSetting(otherwise) ? otherwise : { value: otherwise, origin: "default", line: null };
  };
  const vm = set.vm_defaults ?? {};
  return {
    file,
    logLevel: pick<LogLevel>("log_level", set.log_level, "info"),
    defaultImage: pick("default_image", set.default_image, "debian-bookworm"),
    defaultKernel: pick("default_kernel", set.default_kernel, "debian-bookworm-cloud"),
    imageCatalog: pick("image_catalog", set.image_catalog, ""),
    bootTimeoutS: pick("boot_timeout_s", set.boot_timeout_s, 60),
    stopTimeoutS: pick("stop_timeout_s", set.stop_timeout_s, 10),
    gitIdentity: pick("git_identity", set.git_identity, true),
    fileSync: pick<readonly FileSync[]>("file_sync", set.file_sync, []),
    vmDefaults: {
      vcpus: pick("vm_defaults.vcpu", vm.vcpu, hostVcpus(host)),
      memoryMib: pick("vm_defaults.memory_mib", vm.memory_mib, hostMemoryMib(host)),
      diskBytes: pick("vm_defaults.disk_size", vm.disk_size, diskBytes),
      overlayBytes: pick("vm_defaults.system_overlay_size", vm.system_overlay_size, diskBytes),
    },
    templates: {
      enabled: pick("templates.enabled", set.templates?.enabled, true),
      images: pick("templates.images", set.templates?.images, true),
      maxBytes: pick("templates.max_size", set.templates?.max_size, templateBytes),
    },
    dns: {
      port: pick("dns.port", set.dns?.port, 5354),
      addresses: pick("dns.addresses", set.dns?.addresses, "127.77.0.0/16"),
    },
    network: {
      default: pick("network.default", set.network?.default, "none"),
      resolvers: pick<readonly string[]>("network.resolvers", set.network?.resolvers, []),
      policies: pick<ReadonlyMap<string, NetworkPolicyTable>>(
        "network.policies",
        set.network?.policies &&
          new Map(Object.entries(set.network.policies).map(([at, table]) => [at, toPolicy(table)])),
        new Map(),
      ),
    },
    images: {
      maxBytes: pick("images.max_size", set.images?.max_size, imageBytes),
      maxEntries: pick("images.max_entries", set.images?.max_entries, imageEntries),
    },
    workspace: { maxExportBytes: pick("workspace.max_export", set.workspace?.max_export, exportBytes) },
  };
}

/** A policy of a table in a file. */
export interface NetworkPolicyTable {
  mode: "none" | "open" | "balanced" | "locked";
  allow: string[];
  deny: string[];
  hostPorts: number[];
}

/** Rules are checked where they are used. */
export function toPolicy({
  mode,
  allow = [],
  deny = [],
  allow_host = [],
}: v.InferOutput<typeof networkPolicyTable>): NetworkPolicyTable {
  return { mode, allow, deny, hostPorts: allow_host };
}

/** A quarter of the CPUs, so that a few VMs leave room for their owner; two when the host has them: builds are parallel. */
function hostVcpus({ cpus }: Host): Setting<number> {
  const share = Math.min(4, Math.floor(cpus / 4));
  if (share >= 2) return { value: share, origin: "host", line: null };
  return cpus >= 2 ? { value: 2, origin: "default", line: null } : { value: 1, origin: "host", line: null };
}

function hostMemoryMib({ memoryBytes }: Host): Setting<number> {
  const share = Math.min(8192, Math.floor(memoryBytes / mib / 8));
  return share >= 1024 ? { value: share, origin: "host", line: null } : { value: 1024, origin: "default", line: null };
}

function isSetting<T>(value: T | Setting<T>): value is Setting<T> {
  return typeof value === "object" && value !== null && "origin" in value;
}

/** One line of `config.show`. */
export interface ShownSetting extends Setting<string | number | boolean> {
  key: string;
}

/** The settings under the names that they have in the file; sizes as they would be written there. */
export function listSettings(config: Config): ShownSetting[] {
  const { vmDefaults } = config;
  const size = (setting: Setting<number>) => ({ ...setting, value: sizeText(setting.value) });
  return [
    { key: "log_level", ...config.logLevel },
    { key: "default_image", ...config.defaultImage },
    { key: "default_kernel", ...config.defaultKernel },
    { key: "image_catalog", ...config.imageCatalog },
    { key: "boot_timeout_s", ...config.bootTimeoutS },
    { key: "stop_timeout_s", ...config.stopTimeoutS },
    { key: "git_identity", ...config.gitIdentity },
    { key: "file_sync", ...config.fileSync, value: fileSyncText(config.fileSync.value) },
    { key: "vm_defaults.vcpu", ...vmDefaults.vcpus },
    { key: "vm_defaults.memory_mib", ...vmDefaults.memoryMib },
    { key: "vm_defaults.disk_size", ...size(vmDefaults.diskBytes) },
    { key: "vm_defaults.system_overlay_size", ...size(vmDefaults.overlayBytes) },
    { key: "templates.enabled", ...config.templates.enabled },
    { key: "templates.images", ...config.templates.images },
    { key: "templates.max_size", ...size(config.templates.maxBytes) },
    { key: "dns.port", ...config.dns.port },
    { key: "dns.addresses", ...config.dns.addresses },
    { key: "network.default", ...config.network.default },
    { key: "network.resolvers", ...config.network.resolvers, value: config.network.resolvers.value.join(", ") },
    {
      key: "network.policies",
      ...config.network.policies,
      value: [...config.network.policies.value.keys()].join(", "),
    },
    { key: "images.max_size", ...size(config.images.maxBytes) },
    { key: "images.max_entries", ...config.images.maxEntries },
    { key: "workspace.max_export", ...size(config.workspace.maxExportBytes) },
  ];
}

/** "~/.npmrc -> ~/.npmrc, ~/.config/tool -> ~/.config/tool". */
function fileSyncText(entries: readonly FileSync[]): string {
  return entries.map(({ host, guest }) => `${host} -> ${guest}`).join(", ");
}

/** Exact, unlike formatBytes: it can be pasted into the file. */
function sizeText(bytes: number): string {
  for (const [factor, unit] of [
    [1024 * 1024 * mib, "T"],
    [1024 * mib, "G"],
    [mib, "M"],
  ] as const) {
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes / 1024}K`;
}
