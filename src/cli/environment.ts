// The command line program's ties to its process: streams, signals, paths, the daemon to start. The only such place in cli/.
import { fstatSync } from "node:fs";
import { buildInfo } from "../lib/build-info.ts";
import { BangerError } from "../lib/errors.ts";
import type { ConnectOptions, CompletionKind } from "./context.ts";
import { Interrupts } from "./interrupts.ts";
import { outputError } from "./leave.ts";
import type { CliEnvironment } from "./main.ts";
import { Terminal } from "./output/terminal.ts";

export interface Programs {
  /** Program and arguments of this command line. */
  self: readonly string[];
  /** Program and arguments of the daemon. */
  daemon: readonly string[];
}

/** Installs the signal handlers; call once. */
export function createEnvironment(programs: Programs): CliEnvironment {
  const interrupts = new Interrupts();
  interrupts.install();
  const { stdout, stderr, env } = process;
  for (const stream of [stdout, stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") interrupts.outputClosed();
      else if (stream === stdout) interrupts.outputFailed(outputError(error));
    });
  }
  const terminal = new Terminal(stdout, stderr, env);
  const connect = async ({ autoStart = true }: ConnectOptions = {}) => {
    const [sdk, { resolvePaths }] = await Promise.all([import("../sdk/client.ts"), import("../config/paths.ts")]);
    return sdk.connect({
      paths: resolvePaths(env),
      build: buildInfo,
      autoStart,
      daemonCommand: programs.daemon,
      onNotice: (text) => terminal.notice(text, "yellow"),
    });
  };
  return {
    terminal,
    interrupts,
    streams: { stdin: () => process.stdin, stdinIsTty: isTerminal(0), stdinIsNull: isNullDevice(0), stdout, stderr },
    env,
    cwd: process.cwd(),
    self: programs.self,
    connect,
    replaceProcess(file, args) {
      if (process.execve === undefined) throw new BangerError("internal", "this Node.js cannot replace its process");
      // ssh reads SHELL to run its ProxyCommand: the quoting of that command is for sh.
      return process.execve(file, [file, ...args], { ...definedOnly(env), SHELL: "/bin/sh" });
    },
    async names(kind: CompletionKind) {
      const { liveNames } = await import("./completion/live-names.ts");
      return liveNames(connect, kind);
    },
  };
}

/** Number of /dev/null on Linux: major 1, minor 3. */
const nullDevice = (1 << 8) | 3;

function isNullDevice(descriptor: number): boolean {
  const info = fstatSync(descriptor);
  return info.isCharacterDevice() && info.rdev === nullDevice;
}

function isTerminal(descriptor: number): boolean {
  return process.getBuiltinModule("node:tty").isatty(descriptor);
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
