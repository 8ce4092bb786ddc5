// What VMs are made of in tests besides machines and guests: one image, one kernel, no templates. The home and its database are real.
import type { ImageRecord, KernelRecord } from "../../api/records.ts";
import type { Paths } from "../../config/paths.ts";
import { silentLogger } from "../../lib/log.ts";
import { mib } from "../../lib/units.ts";
import { Secrets } from "../../network/secrets/secrets.ts";
import type { State } from "../../state/open.ts";
import type { Driver } from "../../vmm/driver.ts";
import type { Store, VmContext } from "../context.ts";
import type { VmsOptions } from "../vms.ts";

const image = { id: "aaaa", name: "x", rootfsPath: "/x", digests: null, tags: ["x"] };
const config = { environment: [], user: "root", workdir: "/", command: [], labels: {}, volumes: [] };

/** `state` has had `addParts`. The driver is asked only for what the test does. */
export function vmParts(
  paths: Paths,
  state: State,
  made: { driver: Partial<Driver>; connectGuest: VmContext["connectGuest"] },
): VmsOptions {
  return {
    paths,
    state,
    driver: made.driver as Driver,
    images: storeOf({ ...image, config } as unknown as ImageRecord),
    kernels: storeOf({ id: "bbbb", name: "x", kernelPath: "/x" } as unknown as KernelRecord),
    initramfs: async () => "/initramfs",
    connectGuest: made.connectGuest,
    secrets: new Secrets({ file: paths.secretsFile, authorityDir: paths.authorityDir }),
    network: { program: () => "/none", resolvers: [] },
    policies: { fallback: "none", policies: new Map() },
    templates: {
      take: () => undefined,
      want() {},
      async discard() {},
      capturing: () => ({ based() {}, [Symbol.dispose]() {} }),
    },
    settings: {
      defaultImage: "x",
      defaultKernel: "x",
      bootTimeoutMs: 60_000,
      stopTimeoutMs: 60_000,
      vmDefaults: { vcpus: 1, memoryMib: 128, diskBytes: 64 * mib, overlayBytes: 64 * mib },
    },
    log: silentLogger,
  };
}

function storeOf<R>(record: R): Store<R> {
  return {
    resolve: () => record,
    inCatalog: () => false,
    pull: () => Promise.reject(new Error("not asked for")),
  };
}
