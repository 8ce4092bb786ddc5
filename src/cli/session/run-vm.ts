// The steps of "vm run": look at the repository, make the VM, ship the repository, run, and with --rm remove the VM.
import { basename } from "node:path";
import type { ParamsOf } from "../../api/methods.ts";
import type { ImageRecord, VmRecord } from "../../api/records.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { signalNumber } from "../../lib/signals.ts";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { createVm } from "../create-vm.ts";
import { operate } from "../operate.ts";
import { renderError } from "../output/errors.ts";
import { leftBehind } from "../workspace-flags.ts";
import type { Timings } from "./timings.ts";
import { noticeDenied } from "./denied-notice.ts";
import { commandOf } from "./image-command.ts";
import { runInForks } from "./run-forks.ts";
import { bringTools } from "./run-tools.ts";
import { networkForRepository } from "./workspace-policy.ts";
import { isInteractive, runSession, type SessionRequest } from "./session.ts";

export interface RunRequest {
  /** The repository that goes along, and what of it; undefined: none. */
  ship: ParamsOf<"workspace.inspect"> | undefined;
  argv: readonly string[];
  /** Replaces the image's entrypoint, and its command too; "" for none. */
  entrypoint?: string | undefined;
  rm: boolean;
  detach: boolean;
  /** Look for the tools that the repository pins, and install what is missing. */
  bootstrap: boolean;
  /** Run in so many forks of the VM. */
  fork?: number | undefined;
  vm: ParamsOf<"vm.create">;
  session: Omit<SessionRequest, "vm" | "argv" | "onStarted">;
  /** Told what takes how long, and printed at the end. Absent: nobody asked. */
  timings?: Timings | undefined;
}

/** TERM, as for containers. */
const defaultStopSignal = 15;

/** Refuses combinations that make no sense, before anything is made or started. */
export function checkRunRequest(request: RunRequest): void {
  if (request.detach && request.rm) {
    throw new BangerError(
      "usage",
      "--detach and --rm exclude each other: a detached VM has no session whose end removes it",
    );
  }
  if (request.detach && request.argv.length > 0) {
    throw new BangerError("usage", "--detach takes no command: run it later with banger vm exec");
  }
  const { fork } = request;
  if (fork === undefined) return;
  if (fork < 1 || fork > maxForks)
    throw new BangerError("usage", `--fork ${fork} is not possible: write 1 to ${maxForks}`);
  if (request.argv.length === 0) throw new BangerError("usage", "--fork needs a command: -- <command>");
  if (request.detach) throw new BangerError("usage", "--fork and --detach exclude each other");
  const { tty, interactive } = request.session;
  if (tty === true || interactive === true) {
    throw new BangerError("usage", "--fork goes without a terminal and without input: several commands run at once");
  }
}

/** Of --fork. */
const maxForks = 100;

/** Sets the context's exit code to the command's. */
export async function runVm(context: CliContext, client: Client, request: RunRequest): Promise<void> {
  const { ship } = request;
  const root = ship === undefined ? undefined : await inspect(context, client, ship);
  const network = await networkForRepository(context, client, root, request.vm.network);
  request.timings?.mark("client");
  // The hold lives until this function ends: however this process goes, the daemon sees it and removes the VM.
  using hold = request.rm ? new Hold(client) : undefined;
  const record = await createVm(
    context,
    client,
    { ...request.vm, ...(network && { network }), ...(request.rm ? { autoRemove: true } : {}) },
    (operation) => hold?.take(operation.id),
  );
  request.timings?.mark("create");
  try {
    const workdir = ship === undefined ? undefined : await prepare(context, client, record, ship);
    if (ship !== undefined) request.timings?.mark("ship");
    if (ship !== undefined && request.bootstrap) await bringTools(context, client, record, ship.path);
    if (request.detach) await announce(context, client, record);
    else if (request.fork !== undefined) await forks(context, client, record, request, workdir);
    else await session(context, client, record, request, workdir);
  } catch (error) {
    throw request.rm ? withoutVm(error) : error;
  } finally {
    if (request.rm) {
      await remove(context, client, record);
      request.timings?.mark("delete");
    }
    request.timings?.report(context.terminal, record);
  }
}

/** What was under way in a VM that another command has ended: nothing leads on with a VM that goes with this one. */
function withoutVm(thrown: unknown): unknown {
  const { code, message, cause, details, operation } = toBangerError(thrown);
  if (code !== "guest.unreachable") return thrown;
  return new BangerError(code, `${message}; with --rm it is removed now`, {
    cause,
    ...(details && { details }),
    ...(operation && { operation }),
  });
}

/** The top of the repository. */
async function inspect(context: CliContext, client: Client, ship: ParamsOf<"workspace.inspect">): Promise<string> {
  const found = await client
    .call("workspace.inspect", ship, { signal: context.interrupts.signal })
    .catch((error: unknown) => Promise.reject(maybeCommand(error, ship.path)));
  const left = leftBehind({ untracked: ship.includeUntracked === true ? 0 : found.untracked });
  if (left !== undefined) context.terminal.notice(left, "yellow");
  return found.root;
}

/** Who names nothing that is there may have meant a command. */
function maybeCommand(thrown: unknown, path: string): unknown {
  const { code, message, cause, details } = toBangerError(thrown);
  if (code !== "workspace.not-a-repository" || details?.["missing"] === undefined) return thrown;
  const hint = `banger vm run -- ${basename(path)}  # when it is a command`;
  return new BangerError(code, message, { cause, details, hint });
}

async function prepare(
  context: CliContext,
  client: Client,
  record: VmRecord,
  ship: ParamsOf<"workspace.inspect">,
): Promise<string> {
  const params = { vm: record.id, ...ship };
  const { workdir, lfsPointers } = await operate(context, client, "workspace.prepare", params, { label: record.name });
  // Only now: to find them, files have to be read.
  const left = leftBehind({ untracked: 0, lfsPointers });
  if (left !== undefined) context.terminal.notice(left, "yellow");
  return workdir;
}

async function announce(context: CliContext, client: Client, record: VmRecord): Promise<void> {
  const { terminal } = context;
  if (terminal.json) return terminal.printJson(await client.call("vm.show", { vm: record.id }));
  terminal.print(terminal.quiet ? record.id : record.name);
  terminal.notice(`next: banger vm ssh ${record.name}, or banger vm exec ${record.name} -- <command>`, "dim");
}

async function session(
  context: CliContext,
  client: Client,
  record: VmRecord,
  request: RunRequest,
  workdir: string | undefined,
): Promise<void> {
  const { timings } = request;
  const { config } = await client.call("image.show", { image: record.image.id });
  const { argv, stopSignal } = mainProcess(config, request);
  context.exitCode = await runSession(context, client, {
    ...request.session,
    vm: record.id,
    argv,
    stopSignal,
    cwd: request.session.cwd ?? workdir,
    onStarted: () => timings?.mark("exec"),
  });
  timings?.mark("command");
  if (context.exitCode !== 0 && record.network.mode !== "none") await noticeDenied(context, client, record.id);
  if (request.rm || argv.length > 0 || !isInteractive(context, { tty: request.session.tty })) return;
  const now = await client.call("vm.show", { vm: record.id });
  if (now.state !== "running") return;
  context.terminal.notice(
    `${now.name} is still running. Back in: banger vm ssh ${now.name}. Stop: banger vm stop ${now.name}. Remove: banger vm delete ${now.name}.`,
    "dim",
  );
}

async function forks(
  context: CliContext,
  client: Client,
  record: VmRecord,
  request: RunRequest,
  workdir: string | undefined,
): Promise<void> {
  const { config } = await client.call("image.show", { image: record.image.id });
  const { environment = [], cwd = workdir, user, tools } = request.session;
  const { argv } = mainProcess(config, request);
  const { fork: count = 1, rm } = request;
  await runInForks(context, client, record, { count, argv, environment, cwd, user, tools, rm });
}

/** What is run, and how it is asked to end; a login shell is asked with everything else. */
function mainProcess(config: ImageRecord["config"], { argv: words, entrypoint, ship }: RunRequest) {
  const argv = commandOf(config, { argv: words, entrypoint, withoutPath: ship === undefined });
  const stopSignal = argv.length === 0 ? undefined : (signalNumber(config.stopSignal) ?? defaultStopSignal);
  return { argv, stopSignal };
}

/** Deletes the VM and waits for it, also after an interrupt. A VM that is gone already is what was wanted. */
async function remove(context: CliContext, client: Client, record: VmRecord): Promise<void> {
  try {
    await client.operate("vm.delete", { vm: record.id });
  } catch (error) {
    if (error instanceof BangerError && error.code === "vm.not-found") return;
    renderError(error, context.terminal);
    context.exitCode ||= 1;
  }
}

/** Tells the daemon that a VM may live only as long as this process: see the method vm.hold. */
class Hold implements Disposable {
  readonly #client: Client;
  readonly #controller = new AbortController();

  constructor(client: Client) {
    this.#client = client;
  }

  take(operation: string): void {
    void this.#follow(operation);
  }

  [Symbol.dispose](): void {
    this.#controller.abort();
  }

  async #follow(operation: string): Promise<void> {
    try {
      const events = this.#client.events("vm.hold", { operation }, { signal: this.#controller.signal });
      for await (const _ of events);
    } catch {
      // The create failed or the VM was deleted: whoever waits for those reports it.
    }
  }
}
