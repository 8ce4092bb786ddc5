// Runs one operation of the daemon for a command: progress while it runs, cancelled and undone at Ctrl-C.
import type { MethodsOfKind, ParamsOf, ResultOf } from "../api/methods.ts";
import type { Operation } from "../api/records.ts";
import type { Client } from "../sdk/client.ts";
import type { CliContext } from "./context.ts";
import { ProgressView } from "./output/progress.ts";

export interface OperateOptions {
  /** Shows several operations in one view; the caller disposes it. Absent: a view of its own. */
  view?: ProgressView;
  /** Name of what it works on, where the operation only has an id. */
  label?: string;
  /** Called once, when the daemon has taken the operation. */
  onBegin?: (operation: Operation) => void;
  /** Called with each state of the operation. */
  onUpdate?: (operation: Operation) => void;
  /** Default: the interrupts' signal. */
  signal?: AbortSignal;
}

/** Starts the operation, waits for its end and returns its result. Throws the operation's error. */
export async function operate<N extends MethodsOfKind<"operation">>(
  context: CliContext,
  client: Client,
  name: N,
  params: ParamsOf<N>,
  options: OperateOptions = {},
): Promise<ResultOf<N>> {
  using own = options.view === undefined ? new ProgressView(context.terminal) : undefined;
  const view = options.view ?? own;
  const signal = options.signal ?? context.interrupts.signal;
  const operation = await client.begin(name, params, { signal });
  options.onBegin?.(operation);
  return await client.follow<N>(operation, {
    signal,
    onUpdate: (state) => {
      view?.update(options.label === undefined ? state : { ...state, target: options.label });
      noticeDetail(context, state);
      options.onUpdate?.(state);
    },
  });
}

/** What a VM that is ready lacks: files of the host that were not there. */
function noticeDetail({ terminal }: CliContext, { done, error, stage, detail, target }: Operation): void {
  if (done && error === null && stage === "ready" && detail !== "") terminal.notice(`${target}: ${detail}`, "yellow");
}
