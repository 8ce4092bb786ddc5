// What a command gets to work with. Commands touch neither `process` nor the SDK's set-up, so tests can give them anything.
import type { CommandContext } from "@stricli/core";
import type { Writable } from "node:stream";
import type { ReadStream } from "node:tty";
import type { Client } from "../sdk/client.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Terminal } from "./output/terminal.ts";

export interface ConnectOptions {
  /** Start the daemon when it is not there. Default true. */
  autoStart?: boolean;
}

export interface CliContext extends CommandContext {
  readonly terminal: Terminal;
  readonly interrupts: Interrupts;
  readonly streams: Streams;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Directory that relative paths on the command line start from. */
  readonly cwd: string;
  /** What stood after `--` (or after the words that the command itself understands); undefined when there was none. */
  readonly rest: readonly string[] | undefined;
  /** Program and arguments that start this same command line, for ProxyCommand and completion. */
  readonly self: readonly string[];
  /** The caller disposes the client. Throws `daemon.unreachable` or `daemon.start-failed`. */
  connect(options?: ConnectOptions): Promise<Client>;
  /** Ends this program and runs another one in its place, with the same process id and streams. */
  replaceProcess(file: string, args: readonly string[]): never;
  /** Live names for shell completion; empty when the daemon is down. */
  names(kind: CompletionKind): Promise<readonly string[]>;
  /** What the process exits with when the command returns: set by commands that pass a guest's code on. */
  exitCode: number;
}

/** The standard streams for bytes that belong to somebody else: a guest's command, a tar, an ssh connection. */
export interface Streams {
  /** Made at the first call: a stdin that nobody asked for must not be read. */
  stdin(): ReadStream;
  stdinIsTty: boolean;
  /** True when stdin is /dev/null: then there is nothing to pass on. */
  stdinIsNull?: boolean;
  stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };
  stderr: Writable & { readonly isTTY?: boolean };
}

export type NameKind =
  | "vm"
  | "snapshot"
  | "vm-or-snapshot"
  | "template"
  | "image"
  | "kernel"
  | "image-catalog"
  | "kernel-catalog"
  | "operation";

/** What can be completed: live names of the daemon, or file names, which the shell itself knows. */
export type CompletionKind = NameKind | "file";
