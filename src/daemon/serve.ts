// A daemon's working time: builds the parts, recovers, listens, and takes everything down again in order.
import { existsSync } from "node:fs";
import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { BangerError } from "../lib/errors.ts";
import { Dispatcher } from "./dispatch.ts";
import { Dns } from "./dns/dns.ts";
import { Gate } from "./gate.ts";
import { Holds } from "./holds.ts";
import type { DaemonOptions, PartsOptions } from "./main.ts";
import { Operations } from "./operations.ts";
import { buildRoutes } from "./routes/index.ts";
import { Lifetimes } from "./lifetimes.ts";
import { listen } from "./server.ts";
import { daemonStopped, Sessions } from "./sessions.ts";
import { watchSocket } from "./socket-watch.ts";

/** A stop that takes longer ends the process the hard way; recovery at the next start does the rest. */
const stopDeadlineMs = 30_000;
/** How long a stop waits for sessions to tell their clients why they end. */
const sessionsDeadlineMs = 3000;
/** How long a stop waits for VMs that nobody holds any more to be deleted. */
const holdsDeadlineMs = 5000;

/** Returns after a clean stop. Throws when the daemon cannot start. */
export async function serve(
  parts: PartsOptions,
  openServices: NonNullable<DaemonOptions["openServices"]>,
): Promise<void> {
  const { paths, config, build, log } = parts;
  const stopWanted = Promise.withResolvers<string>();
  const starting = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopWanted.resolve(signal));
  void stopWanted.promise.then(() => starting.abort(new BangerError("daemon.shutting-down", "the daemon is stopping")));

  const services = await openServices(parts);
  const operations = new Operations(services.operationStore, log);
  const sessions = new Sessions();
  const holds = new Holds(operations, services.vms, log);
  const gate = new Gate(build);
  try {
    await services.vms.recover({ signal: starting.signal });
  } catch (error) {
    await services[Symbol.asyncDispose]();
    if (starting.signal.aborted) return;
    throw error;
  }
  using lifetimes = new Lifetimes({ vms: services.vms, operations, log });
  const dns = new Dns({ port: config.dns.port.value, lookup: (name) => services.forwards.addressOf(name), log });
  const requestStop = () => {
    gate.close();
    // The reply of the call that asked for it goes out first.
    setImmediate(() => stopWanted.resolve("daemon.stop"));
  };
  const routes = buildRoutes({
    ...{ services, operations, holds, dns, sessions, paths, build, requestStop },
    startedAt: Date.now(),
  });
  const server = await listen(paths.daemonSocket, new Dispatcher({ routes, gate, sessions, log }));
  log.info("daemon listens", { socket: paths.daemonSocket });
  void dns.begin();
  const socketWatch = watchSocket(paths.daemonSocket, () => stopWanted.resolve("its socket is gone"));

  const reason = await stopWanted.promise;
  socketWatch[Symbol.dispose]();
  log.info("daemon stops", { reason, operations: operations.running(), sessions: sessions.count() });
  const overdue = setTimeout(() => {
    log.error("the daemon did not stop in time", { afterMs: stopDeadlineMs });
    process.exit(1);
  }, stopDeadlineMs);
  gate.close();
  await dns[Symbol.asyncDispose]();
  lifetimes[Symbol.dispose]();
  sessions.abortAll();
  await operations.abortAll(daemonStopped());
  await atMost(sessionsDeadlineMs, sessions.ended());
  // A hold that has just ended begins with its deletion in this turn.
  await nextTurn();
  await atMost(holdsDeadlineMs, holds.settled());
  // The last operations are stored in this turn.
  await nextTurn();
  // Nobody could find these machines again, and their disks are gone.
  if (!existsSync(paths.databaseFile)) await services.vms.endAll();
  await services[Symbol.asyncDispose]();
  // The socket goes last: until then clients hear that the daemon is stopping, and wait for its end.
  await server[Symbol.asyncDispose]();
  clearTimeout(overdue);
}

/** Waits for a promise, but not longer than so many milliseconds. */
async function atMost(timeoutMs: number, promise: Promise<void>): Promise<void> {
  await Promise.race([promise, delay(timeoutMs, undefined, { ref: false })]);
}
