// Runs a command line against a fake daemon: canned replies by method name, every call recorded. For tests.
import { PassThrough } from "node:stream";
import type { ReadStream } from "node:tty";
import type { Operation, SnapshotRecord, TemplateRecord } from "../../api/records.ts";
import { fakeVm } from "../../api/testdata/vm-record.ts";
import { BangerError, fromErrorBody } from "../../lib/errors.ts";
import type { Client } from "../../sdk/client.ts";
import { Interrupts } from "../interrupts.ts";
import { main } from "../main.ts";
import { Terminal } from "../output/terminal.ts";

type Reply = (params: Record<string, unknown>, signal: AbortSignal | undefined) => unknown;

export interface FakeOptions {
  /** Method name -> what it returns (for an operation: its result), or throws. */
  replies?: Readonly<Record<string, Reply>>;
  /** Both output streams are terminals of 80 columns. */
  terminal?: boolean;
  env?: Readonly<Record<string, string>>;
  interrupts?: Interrupts;
  stdin?: string;
}

export interface FakeRun {
  code: number;
  stdout: string;
  stderr: string;
  calls: { name: string; params: Record<string, unknown> }[];
  /** What the process was replaced by. */
  replaced: string[] | undefined;
}

/** Runs to the end. Without a reply a method fails with `daemon.unreachable`. */
export async function runFake(argv: readonly string[], options: FakeOptions = {}): Promise<FakeRun> {
  const out = collector(options.terminal === true);
  const err = collector(options.terminal === true);
  const calls: FakeRun["calls"] = [];
  let replaced: string[] | undefined;
  const answer = async (name: string, params: Record<string, unknown>, signal?: AbortSignal) => {
    calls.push({ name, params });
    const reply = options.replies?.[name];
    if (reply === undefined) throw new BangerError("daemon.unreachable", `no reply for ${name}`);
    return await reply(params, signal);
  };
  const stdin = Object.assign(new PassThrough(), { setRawMode: () => stdin, isRaw: false });
  stdin.end(options.stdin ?? "");
  const code = await main(argv, {
    terminal: new Terminal(out.stream, err.stream, options.env ?? {}),
    interrupts: options.interrupts ?? new Interrupts(() => {}),
    streams: {
      stdin: () => stdin as unknown as ReadStream,
      stdinIsTty: options.terminal === true,
      stdout: out.stream,
      stderr: err.stream,
    },
    env: options.env ?? {},
    cwd: "/work dir",
    self: ["/usr/bin/node", "/opt/it's 100%/banger.mjs"],
    connect: async () => fakeClient(answer) as unknown as Client,
    replaceProcess(file, args) {
      replaced = [file, ...args];
      return undefined as never;
    },
    names: async (kind) => [`${kind}-one`, `${kind}-two`],
  });
  return { code, stdout: out.text(), stderr: err.text(), calls, replaced };
}

type Answer = (name: string, params: Record<string, unknown>, signal?: AbortSignal) => Promise<unknown>;

/** The methods of the SDK's client that commands use. */
function fakeClient(answer: Answer) {
  let operations = 0;
  const results = new Map<string, Promise<unknown>>();
  const call = (name: string, params: Record<string, unknown>, options?: { signal?: AbortSignal }) =>
    answer(name, params, options?.signal);
  const begin = async (name: string, params: Record<string, unknown>, options?: { signal?: AbortSignal }) => {
    const operation = fakeOperation(`op-${++operations}`, name, targetOf(params));
    const result = answer(name, params, options?.signal);
    result.catch(() => {});
    results.set(operation.id, result);
    return operation;
  };
  const follow = async (operation: Operation, options?: { onUpdate?: (operation: Operation) => void }) => {
    options?.onUpdate?.({ ...operation, stage: "boot", detail: "waiting" });
    const result = await (results.get(operation.id) ?? answer("operation.watch", { id: operation.id }));
    options?.onUpdate?.({ ...operation, done: true, result });
    return result;
  };
  return {
    call,
    begin,
    follow,
    operate: async (name: string, params: Record<string, unknown>) => await follow(await begin(name, params)),
    download: call,
    upload: (name: string, params: Record<string, unknown>) => answer(name, params),
    stream: call,
    async *events(name: string, params: Record<string, unknown>) {
      yield await answer(name, params);
    },
    async [Symbol.asyncDispose]() {},
  };
}

function collector(isTTY: boolean) {
  const chunks: Buffer[] = [];
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 80, rows: 24 });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

/** An operation under way. */
export function fakeOperation(id: string, kind: string, target: string): Operation {
  const times = { startedAt: 0, updatedAt: 0 };
  const state = { stage: "", detail: "", progress: null, done: false, error: null, result: null };
  return { id, kind: kind as Operation["kind"], target, ...state, ...times };
}

/** A snapshot with memory. */
export function fakeSnapshot(name: string, changes: Partial<SnapshotRecord> = {}): SnapshotRecord {
  const { image, kernel, spec } = fakeVm("box");
  return {
    id: `id-${name}`,
    name,
    vm: { id: "id-box", name: "box" },
    image,
    kernel,
    spec,
    memory: true,
    warm: false,
    parent: null,
    usedBytes: 64 * 1024 ** 2,
    usedBy: ["box"],
    pausedMs: 41.3,
    createdAt: 0,
    ...changes,
  };
}

/** A memory template; `digit` fills its id. */
export function fakeTemplate(digit: string, changes: Partial<TemplateRecord> = {}): TemplateRecord {
  return {
    id: digit.repeat(64),
    kernel: { id: "k1", name: "debian" },
    vcpus: 2,
    memoryMib: 1024,
    root: null,
    vmm: "qemu 7.2.22 tcg",
    usedBytes: 26 * 1024 ** 2,
    createdAt: 0,
    lastUsedAt: 0,
    ...changes,
  };
}

/** The daemon's answer for a VM that is not there. */
export function vmNotFound(name: unknown): never {
  throw fromErrorBody({ code: "vm.not-found", message: `there is no VM "${String(name)}"`, hint: "banger vm list" });
}

function targetOf(params: Record<string, unknown>): string {
  const target = params["vm"] ?? params["source"] ?? params["image"] ?? params["name"];
  return typeof target === "string" ? target : "";
}
