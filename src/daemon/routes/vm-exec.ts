// vm.exec: frames of the client on one side, a process of the guest on the other.
import { once } from "node:events";
import { PassThrough } from "node:stream";
import * as v from "valibot";
import type { FrameSocket } from "../../api/frame-socket.ts";
import { frameType, type Frame } from "../../api/frames.ts";
import type { VmRecord } from "../../api/records.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { ExecHandle, ExecSpec } from "../../guest/agent.ts";
import type { Handler } from "../handler.ts";
import { throughMise } from "../../vm/workspace/through-mise.ts";
import type { RouteContext } from "./context.ts";

const resizeSchema = v.strictObject({ columns: dimension(), rows: dimension() });
const signalSchema = v.strictObject({ signal: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64)) });

/** Ends with the exit frame. When the client has gone, the process group is killed: the signal does that. */
export function execRoute({ services: { vms } }: RouteContext): Handler<"vm.exec"> {
  return async (params, socket, { signal }) => {
    const { agent, record } = await vms.agent(params.vm);
    using _activity = vms.activity.begin(record.id);
    const stdin = params.stdin === true ? new PassThrough() : undefined;
    const { argv, environment, user, terminal, stopSignal } = params;
    // Root works where the repository was put; another user may not be able to go there.
    const cwd = params.cwd ?? (user === undefined ? record.workspace?.workdir : undefined);
    const spec: ExecSpec = {
      argv,
      ...(environment === undefined ? {} : { environment }),
      ...(cwd === undefined ? {} : { cwd }),
      ...(user === undefined ? {} : { user }),
      ...(terminal === undefined ? {} : { terminal }),
      ...(stopSignal === undefined ? {} : { stopSignal }),
      ...(stdin === undefined ? {} : { stdin }),
      stdout: socket.writer(frameType.output),
      stderr: socket.writer(frameType.errorOutput),
    };
    // A client that ends its side without a word, or breaks the format, ends the command, too.
    const gone = new AbortController();
    const ended = AbortSignal.any([signal, gone.signal]);
    const command = params.tools === false ? spec : await throughMise(agent, record.workspace, spec, ended);
    const handle = await agent.exec(command, { signal: ended }).catch((error: unknown) => {
      throw params.cwd === undefined ? withWayBack(error, record) : error;
    });
    void socket.send(frameType.started);
    void receive(socket, handle, stdin, ended).then(
      () => gone.abort(new BangerError("cancelled", "the client went away")),
      (error: unknown) => gone.abort(error),
    );
    try {
      const exit = await handle.exited;
      socket.sendJson(frameType.exit, exit);
      socket.end();
    } catch (error) {
      throw gone.signal.aborted ? gone.signal.reason : error;
    } finally {
      stdin?.destroy();
    }
  };
}

/** What a killed VM had not written to its disks is gone, its workspace among it: then no command could run where it would by itself. */
function withWayBack(thrown: unknown, { name, workspace }: VmRecord): unknown {
  const { code, message } = toBangerError(thrown);
  if (workspace === null || code !== "exec.failed" || !message.startsWith(`working directory "${workspace.workdir}"`)) {
    return thrown;
  }
  const again = `banger vm workspace prepare ${name} ${workspace.sourcePath}`;
  return new BangerError(code, message, { hint: `${again}  # or run it elsewhere: --workdir /root`, cause: thrown });
}

/** Returns when the client sends no more. */
async function receive(
  socket: FrameSocket,
  handle: ExecHandle,
  stdin: PassThrough | undefined,
  signal: AbortSignal,
): Promise<void> {
  // The process may end, or close its stdin, before all input was taken.
  stdin?.on("error", () => {});
  let taking = Promise.resolve();
  for await (const frame of socket.frames) {
    if (frame.type === frameType.input && stdin !== undefined) {
      // Not awaited: the client keeps to the input window, and other frames must not wait behind input.
      taking = taking.then(() => take(socket, stdin, frame.payload, signal));
    } else if (frame.type === frameType.inputEnd) {
      taking = taking.then(() => void stdin?.end());
    } else if (frame.type === frameType.resize) {
      handle.resize(parse(frame, resizeSchema));
    } else if (frame.type === frameType.signal) {
      handle.signal(parse(frame, signalSchema).signal);
    } else {
      throw new BangerError("request.invalid", `vm.exec: a frame of type ${frame.type} was not expected`);
    }
  }
}

async function take(socket: FrameSocket, stdin: PassThrough, payload: Buffer, signal: AbortSignal): Promise<void> {
  if (!stdin.writable) return;
  if (!stdin.write(payload)) {
    try {
      await Promise.race([once(stdin, "drain", { signal }), once(stdin, "close", { signal })]);
    } catch {
      return;
    }
  }
  const taken = Buffer.alloc(4);
  taken.writeUInt32BE(payload.length);
  await socket.send(frameType.inputTaken, taken);
}

function parse<S extends v.GenericSchema>(frame: Frame, schema: S): v.InferOutput<S> {
  try {
    return v.parse(schema, JSON.parse(frame.payload.toString()));
  } catch (error) {
    throw new BangerError("request.invalid", `vm.exec: a frame of type ${frame.type} is not what it should be`, {
      cause: error,
    });
  }
}

function dimension() {
  return v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000));
}
