// Starts a VM: disks, initramfs, VMM, Hello, Configure. Each thing made is undone when a later one fails.
import type { ImageRecord } from "../api/records.ts";
import { vmPaths } from "../config/paths.ts";
import type { GuestAgent } from "../guest/agent.ts";
import { deadline } from "../lib/abort.ts";
import { toBangerError } from "../lib/errors.ts";
import { withSignal, type Progress } from "../lib/progress.ts";
import { ensureClientKey } from "../ssh/client-key.ts";
import type { VmRow } from "../state/vms.ts";
import type { MachineSpec } from "../vmm/driver.ts";
import type { VmContext } from "./context.ts";
import { ensureDisk } from "../disk/blank.ts";
import { bootError } from "./boot-error.ts";
import { powerOn } from "./power-on.ts";

/** Virtio serials by which the guest finds its disks. */
const serials = { base: "base", overlay: "overlay", work: "work" } as const;

/**
 * Starts the VM of `row`; the caller holds its lock and has checked that it does not run. On success it is "running".
 * On failure nothing runs, the VM is "stopped" (or "broken" when the guest broke the rules) with the reason, and the error
 * (`vm.boot-failed`, `vm.boot-timeout`, `vmm.failed`, a store's) carries the end of the console.
 */
export async function startVm(context: VmContext, row: VmRow, progress: Progress): Promise<void> {
  const { state, starting } = context;
  const cut = new AbortController();
  starting.set(row.id, cut);
  state.vms.update(row.id, { state: "starting", reason: "" });
  try {
    await boot(context, row, withSignal(progress, AbortSignal.any([progress.signal, cut.signal])));
  } catch (thrown) {
    const error = toBangerError(thrown);
    const broken = error.code === "guest.protocol";
    state.vms.update(row.id, { state: broken ? "broken" : "stopped", reason: error.message, bootId: null });
    throw thrown;
  } finally {
    starting.delete(row.id);
  }
}

async function boot(context: VmContext, row: VmRow, progress: Progress): Promise<void> {
  const files = vmPaths(context.paths, row.id);
  const image = context.images.resolve(row.imageId);
  progress.stage("prepare", "disks and initramfs");
  const [spec, authorizedKeys] = await Promise.all([
    machineSpec(context, row, image, progress.signal),
    clientKeys(context, progress.signal),
  ]);

  await using undo = new AsyncDisposableStack();
  progress.stage("boot", `${row.spec.vcpus} vcpu, ${row.spec.memoryMib} MiB`);
  const { machine, agent } = await powerOn(context, spec, { consoleLog: files.consoleLog, signal: progress.signal });
  undo.defer(() => machine.kill());
  undo.use(agent);

  progress.stage("configure", image.name);
  const { bootTimeoutMs } = context.settings;
  using limit = deadline(progress.signal, bootTimeoutMs, () => {
    const late = `the guest was up, but was not configured within ${bootTimeoutMs / 1000} s`;
    return bootError("vm.boot-timeout", late, files.consoleLog);
  });
  // Asked together: both wait for the same preparations in the guest.
  const [hello, steps] = await Promise.all([
    agent.hello({ signal: limit.signal }),
    configure(agent, row, image, authorizedKeys, files.consoleLog, limit.signal),
  ]);
  context.log.info("guest configured", {
    vm: row.id,
    readyUptimeMs: hello.readyUptimeMs,
    steps: Object.fromEntries(steps.map((step) => [step.name, step.durationMs])),
  });
  progress.signal.throwIfAborted();
  context.state.vms.update(row.id, { state: "running", reason: "", bootId: hello.bootId, startedAt: Date.now() });
  undo.move();
  context.sessions.adopt(machine, agent);
  progress.stage("ready");
}

async function machineSpec(
  context: VmContext,
  row: VmRow,
  image: ImageRecord,
  signal: AbortSignal,
): Promise<MachineSpec> {
  const files = vmPaths(context.paths, row.id);
  const kernel = context.kernels.resolve(row.kernelId);
  const [initrd] = await Promise.all([
    context.initramfs(kernel, { signal }),
    ensureDisk(files.overlayDisk, "overlay", row.spec.overlayBytes, signal),
    ensureDisk(files.workDisk, "work", row.spec.diskBytes, signal),
  ]);
  return {
    vmId: row.id,
    homeId: context.paths.homeId,
    dir: files.dir,
    kernel: kernel.kernelPath,
    initrd,
    kernelArguments: [],
    vcpus: row.spec.vcpus,
    memoryMib: row.spec.memoryMib,
    disks: [
      { serial: serials.base, path: image.rootfsPath, readOnly: true },
      { serial: serials.overlay, path: files.overlayDisk, readOnly: false },
      { serial: serials.work, path: files.workDisk, readOnly: false },
    ],
  };
}

/** Without OpenSSH's client on the host a VM starts all the same; only `vm ssh` needs the key. */
async function clientKeys(context: VmContext, signal: AbortSignal): Promise<string[]> {
  try {
    return [(await ensureClientKey(context.paths.sshDir, { signal })).publicLine];
  } catch (error) {
    if (toBangerError(error).code !== "command.missing") throw error;
    return [];
  }
}

async function configure(
  agent: GuestAgent,
  row: VmRow,
  image: ImageRecord,
  authorizedKeys: string[],
  consoleLog: string,
  signal: AbortSignal,
): Promise<{ name: string; durationMs: number }[]> {
  try {
    return await agent.configure(
      {
        vmId: row.id,
        hostname: row.name,
        disks: serials,
        ssh: { hostKeyPem: row.hostKeyPem, authorizedKeys },
        environment: image.config.environment,
        defaultUser: image.config.user,
        defaultWorkdir: image.config.workdir,
      },
      { signal },
    );
  } catch (thrown) {
    const error = toBangerError(thrown);
    if (error.code !== "guest.failed") throw thrown;
    throw bootError("vm.boot-failed", `the guest could not be configured: ${error.message}`, consoleLog, error);
  }
}
