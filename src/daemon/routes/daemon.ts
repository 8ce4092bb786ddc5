// The daemon itself.
import { BangerError } from "../../lib/errors.ts";
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function daemonRoutes(context: RouteContext): RoutesOf<"daemon.status" | "daemon.stop" | "doctor.run"> {
  const { build, dns, operations, paths, services, sessions } = context;
  return {
    "daemon.status": () => ({
      version: build.version,
      commit: build.commit,
      builtAt: build.builtAt,
      pid: process.pid,
      startedAt: context.startedAt,
      socket: paths.daemonSocket,
      stateDir: paths.stateDir,
      log: paths.daemonLog,
      vmsRunning: services.vms.runningCount(),
      operationsRunning: operations.running(),
      sessionsOpen: sessions.count(),
      residentBytes: process.memoryUsage.rss(),
      dns: dns.now(),
    }),
    "daemon.stop": ({ force = false }, { meantPid }) => {
      // The client means a daemon that is gone already.
      if (meantPid !== undefined && meantPid !== process.pid) return {};
      const running = operations.running();
      const open = sessions.count();
      if (!force && running + open > 0) {
        throw new BangerError("daemon.busy", `the daemon is busy: ${busyWith(running, open)}`, {
          hint: "banger daemon stop --force",
          details: { operations: running, sessions: open },
        });
      }
      context.requestStop();
      return {};
    },
    "doctor.run": async (_params, { signal, client }) => ({
      checks: await services.doctor.run({ signal, client, names: () => dns.status() }),
    }),
  };
}

/** "1 operation runs, 2 sessions are open". */
function busyWith(operations: number, sessions: number): string {
  return [
    ...(operations === 0 ? [] : [operations === 1 ? "1 operation runs" : `${operations} operations run`]),
    ...(sessions === 0 ? [] : [sessions === 1 ? "1 session is open" : `${sessions} sessions are open`]),
  ].join(", ");
}
