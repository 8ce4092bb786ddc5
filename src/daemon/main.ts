// The life of a daemon process: lock, log, parts, socket, stop. The lock comes first and its loser loads nothing else.
import { ensurePaths, resolvePaths, type Paths } from "../config/paths.ts";
import type { Config } from "../config/resolve.ts";
import { buildInfo, type BuildInfo } from "../lib/build-info.ts";
import { toErrorBody } from "../lib/errors.ts";
import { createLogger, type Logger } from "../lib/log.ts";
import { acquireProcessLock } from "../state/lock.ts";
import { openLogFile } from "./log-file.ts";
import type { Services } from "./services.ts";

export interface PartsOptions {
  paths: Paths;
  config: Config;
  build: BuildInfo;
  log: Logger;
}

export interface DaemonOptions {
  build?: BuildInfo;
  /** Builds what stands behind the routes. Default: the real thing. */
  openServices?: (options: PartsOptions) => Promise<Services>;
}

/** Runs until SIGTERM, SIGINT or daemon.stop; ends the process. Exits 0 at once when another daemon of this home runs. */
export async function runDaemon(options: DaemonOptions = {}): Promise<never> {
  process.umask(0o077);
  const paths = resolvePaths();
  await ensurePaths(paths);
  const lock = acquireProcessLock(paths.daemonLock);
  if (lock === undefined) process.exit(0);
  const file = openLogFile(paths.daemonLog);
  const fail = (message: string) => (error: unknown) => {
    const log = createLogger("error", file.write);
    // A client that waits for this daemon shows what stands in `fatal`.
    log.error(message, { fatal: toErrorBody(error), error });
    process.exit(1);
  };
  process.on("uncaughtException", fail("a bug ended the daemon"));
  process.on("unhandledRejection", fail("a bug ended the daemon"));
  process.on("SIGHUP", () => {});
  try {
    const { loadConfig } = await import("../config/load.ts");
    const config = loadConfig(paths.configFile);
    const log = createLogger(config.logLevel.value, file.write);
    const build = options.build ?? buildInfo;
    log.info("daemon starts", { version: build.version, pid: process.pid, stateDir: paths.stateDir });
    const openServices = options.openServices ?? (await import("./graph.ts")).openServices;
    const { serve } = await import("./serve.ts");
    await serve({ paths, config, build, log }, openServices);
    log.info("daemon ends");
  } catch (error) {
    fail("the daemon cannot start")(error);
  }
  lock[Symbol.dispose]();
  process.exit(0);
}
