// A command or login shell in a VM on the standard streams of this process.
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { ParamsOf } from "../../api/methods.ts";
import { exec, type RemoteProcess } from "../../sdk/exec.ts";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { safeOutput } from "../output/safe-text.ts";
import { enterRawMode } from "./raw-mode.ts";

export interface SessionRequest {
  vm: string;
  /** Empty: the login shell. */
  argv: readonly string[];
  environment?: readonly string[] | undefined;
  cwd?: string | undefined;
  user?: string | undefined;
  /** `-t`, or false for `-T`. Default: when stdin, stdout and stderr all are terminals. */
  tty?: boolean | undefined;
  /** `-i`: forward stdin although it is a terminal. */
  interactive?: boolean | undefined;
  /** Signal, by number, that "vm stop" sends it before it asks all other processes. Absent: it is asked with them. */
  stopSignal?: number | undefined;
  /** false: not through the guest's mise. */
  tools?: boolean | undefined;
  /** Called once the command runs. */
  onStarted?: (() => void) | undefined;
}

const interruptNumber = 2;

/** Whether the session gets a terminal of its own in the guest. */
export function isInteractive(context: CliContext, request: Pick<SessionRequest, "tty">): boolean {
  const { stdinIsTty, stdout, stderr } = context.streams;
  // A stderr that goes elsewhere must stay apart, which a terminal in the guest cannot do.
  return request.tty ?? (stdinIsTty && stdout.isTTY === true && stderr.isTTY === true);
}

/**
 * Runs the command to its end and returns its exit code as a shell shows it. Ctrl-C goes to the guest: as a key in a
 * terminal session, as SIGINT to the process group otherwise, where a second Ctrl-C ends the session.
 */
export async function runSession(context: CliContext, client: Client, request: SessionRequest): Promise<number> {
  const { streams, interrupts } = context;
  const terminal = isInteractive(context, request);
  // A terminal is read only when the session is one or -i says so; a pipe or file is passed on. For /dev/null the guest has
  // its own.
  const hasInput = !streams.stdinIsTty && streams.stdinIsNull !== true;
  const forwardsInput = hasInput || terminal || request.interactive === true;
  const stdin = forwardsInput ? streams.stdin() : undefined;
  using _raw = terminal && streams.stdinIsTty ? enterRawMode(streams.stdin(), interrupts) : undefined;
  await using output = outputs(context, terminal);
  const remote = await exec(client, execParams(request, terminal ? terminalSize(context) : undefined), {
    ...(stdin === undefined ? {} : { stdin }),
    stdout: output.stdout,
    stderr: output.stderr,
    signal: interrupts.signal,
  });
  request.onStarted?.();
  using _resize = terminal ? followResize(context, remote) : undefined;
  using _interrupt = interrupts.handleOnce(() => remote.kill(interruptNumber));
  const { code } = await remote.exited;
  return code;
}

/** A terminal gets a guest's control characters in a session of its own only. Disposing waits until all is written. */
function outputs({ streams }: CliContext, terminal: boolean): AsyncDisposable & Record<"stdout" | "stderr", Writable> {
  const safe = (stream: Writable & { readonly isTTY?: boolean }) =>
    !terminal && stream.isTTY === true ? safeOutput(stream) : stream;
  const [stdout, stderr] = [safe(streams.stdout), safe(streams.stderr)];
  return {
    stdout,
    stderr,
    async [Symbol.asyncDispose]() {
      const own = [stdout, stderr].filter((stream) => stream !== streams.stdout && stream !== streams.stderr);
      await Promise.all(own.map((stream) => finished(stream.end())));
    },
  };
}

function execParams(
  request: SessionRequest,
  terminal: { columns: number; rows: number } | undefined,
): Omit<ParamsOf<"vm.exec">, "stdin"> {
  const term = process.env["TERM"];
  const environment = [
    ...(terminal !== undefined && term !== undefined ? [`TERM=${term}`] : []),
    ...(request.environment ?? []),
  ];
  return {
    vm: request.vm,
    argv: [...request.argv],
    ...(environment.length === 0 ? {} : { environment }),
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    ...(request.user === undefined ? {} : { user: request.user }),
    ...(terminal === undefined ? {} : { terminal }),
    ...(request.stopSignal === undefined ? {} : { stopSignal: request.stopSignal }),
    ...(request.tools === undefined ? {} : { tools: request.tools }),
  };
}

function terminalSize({ streams }: CliContext): { columns: number; rows: number } {
  return { columns: streams.stdout.columns || 80, rows: streams.stdout.rows || 24 };
}

function followResize(context: CliContext, remote: RemoteProcess): Disposable {
  const { stdout } = context.streams;
  const onResize = () => remote.resize(terminalSize(context));
  stdout.on("resize", onResize);
  return { [Symbol.dispose]: () => stdout.off("resize", onResize) };
}
