// The same command in several forks of one VM at the same time, and what became of each.
import { performance } from "node:perf_hooks";
import { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { VmRecord } from "../../api/records.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { formatDuration } from "../../lib/units.ts";
import { exec } from "../../sdk/exec.ts";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { operate } from "../operate.ts";
import { renderError } from "../output/errors.ts";
import { safeText } from "../output/safe-text.ts";
import { formatTable } from "../output/table.ts";

export interface ForksRequest {
  count: number;
  argv: readonly string[];
  environment: readonly string[];
  cwd: string | undefined;
  user: string | undefined;
  /** false: not through the guest's mise. */
  tools: boolean | undefined;
  /** Remove the forks afterwards. */
  rm: boolean;
}

/** What became of one fork. */
interface Outcome {
  vm: string;
  /** As a shell shows it; null when it could not be told. */
  exitCode: number | null;
  durationMs: number;
  /** Of its workspace; null when there is none, or when it could not be looked at. */
  changes: { files: number; added: number; removed: number; commits: number } | null;
}

const interruptNumber = 2;
/** Variable that tells a command which of the forks it is in: 1, 2, ... */
const numberVariable = "BANGER_FORK";

/** Makes the forks, runs the command in all of them, prints each one's result. Sets the exit code to that of the first that failed. */
export async function runInForks(
  context: CliContext,
  client: Client,
  source: VmRecord,
  request: ForksRequest,
): Promise<void> {
  const { count, rm } = request;
  const name = count === 1 ? `${source.name}-1` : source.name;
  const { vms } = await operate(context, client, "vm.fork", { source: source.id, count, name }, { label: name });
  try {
    // It was only there to be forked.
    if (!rm) await client.operate("vm.delete", { vm: source.id });
    const stop = new AbortController();
    using _interrupt = context.interrupts.handleOnce(() => stop.abort());
    const ended = await Promise.all(vms.map((vm, at) => runOne(context, client, vm, at + 1, request, stop.signal)));
    const outcomes: Outcome[] = [];
    for (const outcome of ended) outcomes.push({ ...outcome, changes: await changesOf(context, client, outcome.vm) });
    report(context, outcomes, rm);
  } finally {
    if (rm) await removeAll(context, client, vms);
  }
}

async function runOne(
  context: CliContext,
  client: Client,
  vm: VmRecord,
  number: number,
  { argv, environment, cwd, user, tools }: ForksRequest,
  stop: AbortSignal,
): Promise<Omit<Outcome, "changes">> {
  const { terminal, streams, interrupts } = context;
  const began = performance.now();
  const stdout = linesWithName(vm.name, terminal.json ? streams.stderr : streams.stdout);
  const stderr = linesWithName(vm.name, streams.stderr);
  let exitCode: number | null = null;
  try {
    const remote = await exec(
      client,
      {
        vm: vm.id,
        argv: [...argv],
        environment: [...environment, `${numberVariable}=${number}`],
        ...(cwd === undefined ? {} : { cwd }),
        ...(user === undefined ? {} : { user }),
        ...(tools === undefined ? {} : { tools }),
      },
      { stdout, stderr, signal: interrupts.signal },
    );
    stop.addEventListener("abort", () => remote.kill(interruptNumber), { once: true });
    exitCode = (await remote.exited).code;
  } catch (error) {
    interrupts.signal.throwIfAborted();
    const { code, message } = toBangerError(error);
    if (code === "exec.not-found") exitCode = 127;
    terminal.notice(`${vm.name}: ${message}`, "red");
  }
  await Promise.all([stdout, stderr].map((stream) => finished(stream.end())));
  return { vm: vm.name, exitCode, durationMs: performance.now() - began };
}

async function changesOf(context: CliContext, client: Client, vm: string): Promise<Outcome["changes"]> {
  try {
    const { signal } = context.interrupts;
    const found = await client.operate("workspace.export", { vm }, { signal });
    await client.call("workspace.forget", { export: found.id });
    return { files: found.fileCount, added: found.added, removed: found.removed, commits: found.commits };
  } catch (error) {
    context.interrupts.signal.throwIfAborted();
    if (!(error instanceof BangerError) || error.code !== "workspace.none") {
      context.terminal.notice(`${vm}: ${toBangerError(error).message}`, "yellow");
    }
    return null;
  }
}

function report(context: CliContext, outcomes: readonly Outcome[], rm: boolean): void {
  const { terminal } = context;
  context.exitCode = outcomes.map(({ exitCode }) => exitCode ?? 1).find((code) => code !== 0) ?? 0;
  if (terminal.json) return terminal.printJson(outcomes);
  const rows = outcomes.map(({ vm, exitCode, durationMs, changes }) => [
    vm,
    exitCode === null ? "-" : String(exitCode),
    formatDuration(durationMs),
    changes === null
      ? "-"
      : `${changes.files} file${changes.files === 1 ? "" : "s"}, +${changes.added} -${changes.removed}`,
  ]);
  terminal.print(formatTable(["name", "exit", "time", "changed"], rows));
  const [first, second] = outcomes;
  if (rm || first === undefined) return;
  const compare = second === undefined ? "" : `banger vm workspace diff ${first.vm} ${second.vm}, or `;
  terminal.notice(`next: ${compare}banger vm workspace export ${first.vm} --apply`, "dim");
}

async function removeAll(context: CliContext, client: Client, vms: readonly VmRecord[]): Promise<void> {
  const removing = vms.map(async ({ id }) => {
    try {
      await client.operate("vm.delete", { vm: id });
    } catch (error) {
      if (toBangerError(error).code === "vm.not-found") return;
      renderError(error, context.terminal);
      context.exitCode ||= 1;
    }
  });
  await Promise.all(removing);
}

/** Text of one fork, each line behind its name; several forks write to the same stream. */
function linesWithName(name: string, to: Writable): Writable {
  const safe = safeText();
  let rest = "";
  const put = (text: string, end: boolean, done: () => void) => {
    const lines = (rest + text).split("\n");
    rest = end ? "" : (lines.pop() ?? "");
    if (end && lines.at(-1) === "") lines.pop();
    if (lines.length === 0) done();
    else to.write(lines.map((line) => `${name} | ${line}\n`).join(""), () => done());
  };
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => put(safe.push(chunk), false, done),
    final: (done) => put(safe.end(), true, done),
  });
}
