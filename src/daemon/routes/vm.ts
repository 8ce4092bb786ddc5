// VMs: records and life.
import type { VmRecord } from "../../api/records.ts";
import { ensureClientKey } from "../../ssh/client-key.ts";
import { followLog } from "../follow-log.ts";
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";
import { vmName } from "./vm-name.ts";

type Names =
  | "vm.list"
  | "vm.show"
  | "vm.create"
  | "vm.start"
  | "vm.stop"
  | "vm.restart"
  | "vm.pause"
  | "vm.resume"
  | "vm.restore"
  | "vm.fork"
  | "vm.kill"
  | "vm.delete"
  | "vm.hold"
  | "vm.logs"
  | "vm.ssh"
  | "ssh.identity";

export function vmRoutes({ services, operations, holds, paths }: RouteContext): RoutesOf<Names> {
  const { looks, snapshots, vms } = services;
  const nameOf = (reference: string) => vmName(services, reference);
  return {
    "vm.list": () => ({ vms: vms.list() }),
    "vm.show": ({ vm }) => vms.show(vm),
    "vm.create": (params) => {
      const operation = operations.start("vm.create", params.name ?? "", (progress) =>
        vms.create(params, progress, (name) => progress.target(name)),
      );
      holds.created(operation);
      return operation;
    },
    "vm.start": ({ vm, ...options }) =>
      operations.start("vm.start", nameOf(vm), (progress) => vms.start(vm, options, progress)),
    "vm.stop": ({ vm }) => operations.start("vm.stop", nameOf(vm), (progress) => vms.stop(vm, progress)),
    "vm.restart": ({ vm, ...options }) =>
      operations.start("vm.restart", nameOf(vm), (progress) => vms.restart(vm, options, progress)),
    "vm.pause": ({ vm, keepRunning = false }) =>
      operations.start("vm.pause", nameOf(vm), (progress) => vms.pause(vm, { keepRunning }, progress)),
    "vm.resume": ({ vm }) => operations.start("vm.resume", nameOf(vm), (progress) => vms.resume(vm, progress)),
    "vm.restore": ({ vm, snapshot }) =>
      operations.start("vm.restore", nameOf(vm), (progress) => snapshots.restore(vm, snapshot, progress)),
    "vm.fork": (params) => operations.start("vm.fork", params.source, (progress) => snapshots.fork(params, progress)),
    "vm.kill": ({ vm }, { signal }) => vms.kill(vm, { signal }),
    "vm.delete": ({ vm, ...options }) =>
      operations.start("vm.delete", nameOf(vm), (progress) => vms.delete(vm, progress, options)),
    "vm.hold": ({ operation }, { signal }) => holds.hold(operation, { signal }),
    "vm.logs": ({ vm, follow = false }, { signal }) => {
      const { id } = vms.show(vm);
      let upAtMs = Number.NEGATIVE_INFINITY;
      const isLive = () => {
        const state = vms.list().find((record) => record.id === id)?.state;
        if (state !== undefined && writesToConsole.has(state)) upAtMs = performance.now();
        return state !== undefined && performance.now() - upAtMs < restartMs;
      };
      return followLog(looks.consoleLog(id), { follow, isLive, signal });
    },
    "vm.ssh": ({ vm }, { signal }) => looks.ssh(vm, { signal }),
    "ssh.identity": async (_params, { signal }) => {
      const { identityFile } = await ensureClientKey(paths.sshDir, { signal });
      return { identityFile, directory: paths.sshDir };
    },
  };
}

/** What is restarted is ended for a moment. */
const restartMs = 1000;
/** A paused VM goes on. */
const writesToConsole: ReadonlySet<VmRecord["state"]> = new Set(["starting", "running", "paused", "stopping"]);
