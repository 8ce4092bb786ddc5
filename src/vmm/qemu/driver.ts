// The QEMU driver: starts machines, and finds those that a former daemon started.
import { join } from "node:path";
import type { Paths } from "../../config/paths.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Driver } from "../driver.ts";
import { createAcceleratorChoice } from "./accelerator.ts";
import type { HostFacts } from "./arguments.ts";
import { hostTscKhz } from "./host-tsc.ts";
import { identityFileName, isRunning, listMachines, machineName, markerOf, readIdentity } from "./identity.ts";
import { findQemu, launchMachine } from "./launch.ts";
import { QemuMachine } from "./machine.ts";
import { platformOf } from "./platform.ts";
import { killProcess, startTicksOf, waitUntilGone } from "../../lib/process-table.ts";
import { restoreMachine, standBy } from "./restore.ts";
import { removeRuntimeFiles } from "./runtime-files.ts";
import { machineShape } from "./shape.ts";
import { createVersionCache } from "./version.ts";

const reconnectTimeoutMs = 5_000;
const goneTimeoutMs = 10_000;

export interface QemuDriverOptions {
  /** `homeId` marks the machines of this home; the result of the KVM probe is kept in `cacheDir`. */
  paths: Pick<Paths, "homeId" | "cacheDir">;
  log: Logger;
  /** Path of a kernel that the KVM probe may boot; undefined while there is none. Absent: KVM is not used. */
  probeKernel?: () => Promise<string | undefined>;
}

export function createQemuDriver(options: QemuDriverOptions): Driver {
  const { log, paths } = options;
  let tscKhz: number | undefined;
  const accelerator = createAcceleratorChoice(options);
  const versionOf = createVersionCache();
  const hostFacts = async (signal: AbortSignal): Promise<HostFacts> => {
    const { accelerator: chosen } = await accelerator({ signal });
    const known = chosen === "tcg" ? (tscKhz ??= hostTscKhz()) : undefined;
    return { platform: platformOf(process.arch), accelerator: chosen, tscKhz: known };
  };
  return {
    name: "qemu",

    async features({ signal }) {
      return { accelerator: (await accelerator({ signal })).accelerator, snapshots: true };
    },

    async launch(spec, { signal, background }) {
      const host = await hostFacts(signal);
      const machine = await launchMachine(spec, { host, log, signal, background: background === true });
      machine.watch();
      return machine;
    },

    async restore(spec, capture, how) {
      return await restoreMachine(spec, capture, { host: await hostFacts(how.signal), log, ...how });
    },

    async standBy(spec, capture, how) {
      return await standBy(spec, capture, { host: await hostFacts(how.signal), log, ...how });
    },

    async shape(spec, { signal }) {
      const host = await hostFacts(signal);
      return machineShape(spec, host, await versionOf(findQemu(host.platform), signal));
    },

    async find(vmId, dir, { signal }) {
      signal.throwIfAborted();
      const identity = await readIdentity(join(dir, identityFileName));
      if (identity === undefined || !isRunning(identity, machineName(paths.homeId, vmId))) {
        // Sockets without an identity may belong to a machine whose start was cut short: `list` shows it, `killOrphan` ends it.
        await removeRuntimeFiles(dir, identity);
        return undefined;
      }
      const machine = new QemuMachine({ vmId, dir, identity, log });
      try {
        await machine.connect(AbortSignal.any([signal, AbortSignal.timeout(reconnectTimeoutMs)]));
      } catch (error) {
        if (signal.aborted) {
          await machine[Symbol.asyncDispose]();
          throw signal.reason;
        }
        // It runs, so it is found: `kill` and `exited` need no control socket, and watching tries to connect again.
        log.warn("a running VMM does not answer on its control socket", { vm: vmId, pid: identity.pid, error });
      }
      machine.watch();
      return machine;
    },

    async list(homeId) {
      return listMachines(homeId);
    },

    async killOrphan(vmId, homeId, pid) {
      const startTicks = startTicksOf(pid);
      if (startTicks === undefined) return;
      if (markerOf(pid) !== machineName(homeId, vmId)) {
        throw new BangerError("vmm.failed", `process ${pid} is not the VMM of VM "${vmId}"`);
      }
      killProcess({ pid, startTicks });
      await waitUntilGone({ pid, startTicks }, goneTimeoutMs);
    },
  };
}
