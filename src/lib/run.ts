// The only door to child processes: argument arrays, never a shell; an environment built from nothing; bounded output;
// the whole process group ends on cancel or time-out.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import type { Socket } from "node:net";
import { delimiter, isAbsolute, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { BangerError, toBangerError } from "./errors.ts";

export interface RunOptions {
  /** Absolute path, or a name that is looked up in PATH and the sbin directories. */
  file: string;
  args: readonly string[];
  cwd?: string;
  /** Added to a minimal environment (PATH, LC_ALL=C, HOME). */
  env?: Readonly<Record<string, string>>;
  /** Written to stdin; absent: stdin is /dev/null. A stream is piped. */
  input?: string | Uint8Array | Readable;
  /** Where stdout goes when it should not be collected. Ended when the process has closed it. */
  output?: Writable;
  /**
   * For readers who hear of a failure by `output` alone: it is ended only when the process has ended well, and destroyed with the error
   * otherwise. Default false.
   */
  failOutput?: boolean;
  /** Called with stderr text as it comes, for progress. */
  onStderr?: (text: string) => void;
  /** Exit codes that are not an error. Default: [0]. */
  okExitCodes?: readonly number[];
  /** Milliseconds until the process group is ended. Default: 10 minutes. */
  timeoutMs?: number;
  /** Milliseconds between asking the process group to end (SIGTERM) and ending it (SIGKILL). Default: 3 s. */
  graceMs?: number;
  signal?: AbortSignal;
  /** Bytes of stdout and of stderr that are kept (stderr keeps its end). Default: 8 MiB. More stdout is an error. */
  maxOutputBytes?: number;
}

export interface RunResult {
  stdout: Buffer;
  stderr: string;
  exitCode: number;
  durationMs: number;
}

const defaultGraceMs = 3000;

/** Directories searched for tools: the user's PATH, then where Debian keeps tools for root. */
function searchPath(): string[] {
  return [
    ...(process.env["PATH"] ?? "").split(delimiter),
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/bin",
  ].filter((directory) => isAbsolute(directory));
}

/** Absolute path of a tool, or undefined when it is not installed. */
export function findTool(name: string): string | undefined {
  if (isAbsolute(name)) return isExecutable(name) ? name : undefined;
  return searchPath()
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

/**
 * The start of a command line whose program the kernel ends when this process dies, however it dies: then nobody is left to end
 * it or to wait for it. What the program itself has started ends as its pipes break.
 */
function leashed(file: string): string[] {
  const setpriv = findTool("setpriv");
  return setpriv === undefined ? [file] : [setpriv, "--pdeathsig", "KILL", "--", file];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The environment that children get: nothing of ours but the search path, home and a fixed locale. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: searchPath().join(delimiter), HOME: process.env["HOME"] ?? "/", LC_ALL: "C", ...extra };
}

/**
 * Runs a program to its end.
 * Throws `command.missing` when it is not installed, `command.failed` (argv, exit code, end of stderr) on another exit code,
 * `timeout`, or the signal's reason.
 */
export async function run(options: RunOptions): Promise<RunResult> {
  const file = findTool(options.file);
  if (file === undefined) {
    throw new BangerError("command.missing", `"${options.file}" is not installed`, { hint: "banger doctor" });
  }
  options.signal?.throwIfAborted();
  const started = performance.now();
  const [leash = file, ...words] = leashed(file);
  const child = spawn(leash, [...words, ...options.args], {
    cwd: options.cwd,
    env: cleanEnvironment(options.env),
    detached: true,
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  // Without descriptors for its pipes Node makes none, and tells why later: nobody may have let go of the child by then.
  if (child.pid === undefined) throw notStarted(options, ((await once(child, "error")) as [Error])[0]);
  const limit = options.maxOutputBytes ?? 8 * 1024 * 1024;
  const stdout: Buffer[] = [];
  let stdoutBytes = 0;
  let stderr = "";
  let failure: Error | undefined;
  let killTimer: NodeJS.Timeout | undefined;

  const end = (reason: unknown) => {
    if (failure !== undefined) return;
    failure = reason instanceof Error ? reason : new BangerError("cancelled", String(reason));
    // What nobody takes any more must not keep the pipe, and with it this call, from ending.
    if (options.output !== undefined) child.stdout?.unpipe().resume();
    killGroup(child.pid, "SIGTERM");
    killTimer = setTimeout(() => killGroup(child.pid, "SIGKILL"), options.graceMs ?? defaultGraceMs);
  };
  const onAbort = () => end(options.signal?.reason ?? new BangerError("cancelled", "cancelled"));
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const timeoutMs = options.timeoutMs ?? 600_000;
  const timer = setTimeout(
    () => end(new BangerError("timeout", `"${commandText(options)}" did not end within ${timeoutMs / 1000} s`)),
    timeoutMs,
  );

  if (options.output === undefined) {
    child.stdout?.on("data", (chunk: Buffer) => {
      stdoutBytes += chunk.length;
      if (stdoutBytes > limit) {
        end(new BangerError("command.failed", `"${options.file}" printed more than ${limit} bytes`));
      } else stdout.push(chunk);
    });
  } else {
    options.output.on("error", end);
    // What a program has not written for a fault would look like the whole.
    child.stdout?.pipe(options.output, { end: options.failOutput !== true });
  }
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-limit);
    options.onStderr?.(text);
  });
  if (child.stdin !== null) {
    // A program may stop reading early (EPIPE): its exit code says whether that is an error.
    child.stdin.on("error", () => {});
    if (typeof options.input === "string" || options.input instanceof Uint8Array) child.stdin.end(options.input);
    else {
      options.input?.on("error", end);
      options.input?.pipe(child.stdin);
    }
  }

  const { promise, resolve } = Promise.withResolvers<number>();
  child.once("error", (error) => {
    end(notStarted(options, error));
    resolve(-1);
  });
  child.once("close", (code, signal) => resolve(code ?? (signal === null ? -1 : -2)));
  const exitCode = await promise;
  clearTimeout(timer);
  clearTimeout(killTimer);
  options.signal?.removeEventListener("abort", onAbort);
  if (failure === undefined && !(options.okExitCodes ?? [0]).includes(exitCode)) {
    const tail = stderr.trimEnd().split("\n").slice(-20).join("\n");
    failure = new BangerError(
      "command.failed",
      `"${commandText(options)}" failed with exit code ${exitCode}${tail === "" ? "" : `: ${tail}`}`,
      {
        details: { argv: [options.file, ...options.args], exitCode },
      },
    );
  }
  if (failure !== undefined) {
    if (options.failOutput === true) options.output?.destroy(failure);
    throw failure;
  }
  if (options.failOutput === true) options.output?.end();
  return { stdout: Buffer.concat(stdout), stderr, exitCode, durationMs: performance.now() - started };
}

function notStarted({ file }: RunOptions, error: Error): BangerError {
  const { code, hint } = toBangerError(error);
  const noFiles = code === "host.open-files";
  return new BangerError(noFiles ? code : "command.failed", `"${file}" could not be started: ${error.message}`, {
    cause: error,
    ...(noFiles && hint !== undefined ? { hint } : {}),
  });
}

function commandText(options: RunOptions): string {
  const text = [options.file, ...options.args].join(" ");
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Already gone.
  }
}

export interface DetachedOptions {
  file: string;
  args: readonly string[];
  cwd: string;
  env?: Readonly<Record<string, string>>;
  /** File descriptor that receives stdout and stderr; the caller closes its own copy. */
  outputFd: number;
  /** Further ones that the program gets, as 3, 4 and so on; the caller closes its own copies. */
  inheritedFds?: readonly number[];
  /** The program gets one more, behind the inherited ones, for a line that says that it is ready. Default false. */
  announces?: boolean;
}

/**
 * Starts a program in its own session that outlives this process. The caller owns it: records its pid and kills it.
 * `exited` resolves with a text that says how it ended ("exit code 0", "signal SIGKILL"), while this process lives.
 */
export function startDetached(options: DetachedOptions): {
  pid: number;
  exited: Promise<string>;
  /** What it wrote where it announces itself, up to the first line break or the end; empty when nothing. Never rejects. */
  announcement: Promise<string>;
} {
  const file = findTool(options.file);
  if (file === undefined) {
    throw new BangerError("command.missing", `"${options.file}" is not installed`, { hint: "banger doctor" });
  }
  const child = spawn(file, options.args, {
    cwd: options.cwd,
    env: cleanEnvironment(options.env),
    detached: true,
    stdio: [
      "ignore",
      options.outputFd,
      options.outputFd,
      ...(options.inheritedFds ?? []),
      ...(options.announces === true ? (["pipe"] as const) : []),
    ],
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  child.once("error", (error) => resolve(error.message));
  child.once("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  child.unref();
  if (child.pid === undefined) {
    throw new BangerError("command.failed", `"${options.file}" could not be started`);
  }
  const announcement = options.announces === true ? firstLine(child.stdio.at(-1)) : Promise.resolve("");
  return { pid: child.pid, exited: promise, announcement };
}

const maxAnnouncement = 4096;

function firstLine(pipe: Readable | Writable | null | undefined): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  // Node's pipes to children beyond the third are sockets.
  const socket = pipe as Socket;
  let text = "";
  const end = () => {
    resolve(text.split("\n")[0] ?? "");
    socket.destroy();
  };
  socket.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
    if (text.includes("\n") || text.length > maxAnnouncement) end();
  });
  socket.on("end", end).on("error", end);
  socket.unref();
  return promise;
}
