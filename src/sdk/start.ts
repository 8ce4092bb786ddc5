// Starts the daemon when it is not there. Any number of clients may do so at once: the daemon's lock lets one of them live.
import { closeSync, openSync, readSync, fstatSync, statfsSync } from "node:fs";
import { connect } from "node:net";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ensurePaths, socketAddress, type Paths } from "../config/paths.ts";
import { BangerError, diskFull, fromErrorBody, type ErrorBody } from "../lib/errors.ts";
import { startDetached } from "../lib/run.ts";

export interface StartOptions {
  paths: Paths;
  /** Program and arguments of the daemon. */
  daemonCommand: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
  /** Pid of the daemon that listens. */
  listener: () => Promise<number>;
}

const deadlineMs = 10_000;
const longestPauseMs = 50;
/** Pause before another try when a daemon that is still going away held the lock. */
const lockLostPauseMs = 200;
const tailBytes = 64 * 1024;
const shownBytes = 2048;

/** Returns when a daemon takes connections. Throws `daemon.start-failed` with the end of its log. */
export async function startDaemon(options: StartOptions): Promise<void> {
  const { paths, signal } = options;
  await ensurePaths(paths);
  const logFd = openSync(paths.daemonLog, "a+", 0o600);
  const logStart = fstatSync(logFd).size;
  try {
    const until = performance.now() + deadlineMs;
    let child = spawn(options, logFd);
    let pauseMs = 5;
    while (!(await isListening(paths.daemonSocket))) {
      if (child.ended === "exit code 0") {
        await delay(lockLostPauseMs, undefined, { signal });
        if (await isListening(paths.daemonSocket)) break;
        child = spawn(options, logFd);
      } else if (child.ended !== undefined) {
        throw (
          why(tail(logFd, logStart)) ?? failed(`the daemon ended with ${child.ended}`, paths, tail(logFd, logStart))
        );
      }
      if (performance.now() > until) {
        throw failed(
          `the daemon (pid ${child.pid}) did not listen within ${deadlineMs / 1000} s`,
          paths,
          tail(logFd, logStart),
        );
      }
      await delay(pauseMs, undefined, { signal });
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
    if (child.ended === undefined) await endLoser(child.pid, options.listener);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error;
  } finally {
    closeSync(logFd);
  }
}

/**
 * Another client's daemon was faster. Ours would find that out by itself, but when the other one is stopped before that, ours
 * would take its place although nobody wants it any more.
 */
async function endLoser(pid: number, listener: () => Promise<number>): Promise<void> {
  try {
    if ((await listener()) !== pid) process.kill(pid, "SIGTERM");
  } catch {
    // The daemon went away again, or the loser ended meanwhile: the call that follows finds out.
  }
}

function spawn(options: StartOptions, outputFd: number): { pid: number; ended: string | undefined } {
  const [file = "", ...args] = options.daemonCommand;
  const started = startDetached({ file, args, cwd: "/", env: daemonEnvironment(options.env), outputFd });
  const state: { pid: number; ended: string | undefined } = { pid: started.pid, ended: undefined };
  void started.exited.then((how) => (state.ended = how));
  return state;
}

/** How registries are reached. */
const proxyVariables = /^(?:https?|no)_proxy$/i;

/**
 * What the daemon may know of the client's environment: where things lie (also those of docker, for its logins), how registries are
 * reached, and debug switches.
 */
function daemonEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || value === "") continue;
    if (["BANGER_HOME", "DOCKER_CONFIG", "NODE_EXTRA_CA_CERTS"].includes(name)) kept[name] = resolve(value);
    else if (name === "HOME" || name === "PATH" || /^(XDG_|BANGER_DEBUG_)/.test(name) || proxyVariables.test(name))
      kept[name] = value;
  }
  return kept;
}

async function isListening(socketPath: string): Promise<boolean> {
  const { promise, resolve: done } = Promise.withResolvers<boolean>();
  let address: ReturnType<typeof socketAddress>;
  try {
    address = socketAddress(socketPath);
  } catch {
    return false;
  }
  const socket = connect(address.address);
  socket.once("connect", () => done(true));
  socket.once("error", () => done(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
    address[Symbol.dispose]();
  }
}

function failed(what: string, paths: Paths, log: string): BangerError {
  // A daemon that could not write its database could not write its log either.
  if (log === "" && statfsSync(paths.stateDir).bavail === 0) {
    return diskFull(`${what}: the disk of "${paths.stateDir}" is full`);
  }
  return new BangerError(
    "daemon.start-failed",
    log === "" ? what : `${what}; its log ends with:\n${log.slice(-shownBytes)}`,
    {
      hint: `tail ${paths.daemonLog}`,
      details: { log: paths.daemonLog },
    },
  );
}

/** What the daemon itself said last about its end. */
function why(log: string): BangerError | undefined {
  try {
    const { fatal } = JSON.parse(log.split("\n").at(-1) ?? "") as { fatal?: ErrorBody };
    if (fatal === undefined) return undefined;
    const error = fromErrorBody(fatal);
    return error.code === "internal" ? undefined : error;
  } catch {
    return undefined;
  }
}

/** The end of what was logged since `start`. */
function tail(fd: number, start: number): string {
  const { size } = fstatSync(fd);
  const from = Math.max(start, size - tailBytes);
  const buffer = Buffer.alloc(Math.max(0, size - from));
  readSync(fd, buffer, 0, buffer.length, from);
  return buffer.toString("utf8").trimEnd();
}
