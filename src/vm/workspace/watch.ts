// Syncs a workspace whenever files of the host change, as long as there is a VM to sync it with.
import { setTimeout as delay } from "node:timers/promises";
import type { ResultOf } from "../../api/methods.ts";
import type { VmRecord } from "../../api/records.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import { toBangerError } from "../../lib/errors.ts";
import { directoriesOf, WorkTreeWatch } from "../../workspace/watch.ts";
import { wasDeleted } from "../cut-off.ts";
import type { Vms } from "../vms.ts";
import { openHostSide } from "./sync.ts";

type Synced = ResultOf<"workspace.sync">;
type WatchedVms = Pick<Vms, "agent" | "show" | "wait">;

/** A restart or a restore may take so long from the end of the one machine to the start of the next. */
const restartMs = 1000;

/**
 * The first result comes at once, whether or not something changed: from there on nothing is missed. A VM that is paused or restarted gets
 * what changed when it runs again. Throws why nothing can be synced any more as soon as that is so.
 */
export async function* watchWorkspace(
  vms: WatchedVms,
  { record, workspace }: { record: VmRecord; workspace: WorkspaceRecord },
  sync: () => Promise<Synced>,
  signal: AbortSignal,
): AsyncGenerator<ResultOf<"workspace.watch">> {
  const host = await openHostSide(record, workspace);
  using watch = new WorkTreeWatch();
  using gone = whenGone(vms, record);
  const either = AbortSignal.any([signal, gone.signal]);
  let told = "";
  watch.follow(await directories(host, workspace.root, signal));
  for (let first = true; ; first = false) {
    watch.forget();
    const { written, removed, conflicts, headMoved } = await sync();
    const words = JSON.stringify({ conflicts, headMoved });
    if (first || written > 0 || removed > 0 || words !== told) {
      yield { at: Date.now(), written, removed, conflicts, headMoved };
    }
    told = words;
    watch.follow(await directories(host, workspace.root, signal));
    await watch.changed(either);
    await vms.wait(record.id, "running", { signal: either });
  }
}

/** Aborted when the VM is deleted, or stopped or broken for good, with the error of a call to its guest. */
function whenGone(vms: WatchedVms, { id, name }: VmRecord): { signal: AbortSignal } & Disposable {
  const gone = new AbortController();
  const over = new AbortController();
  const { signal } = over;
  const look = async () => {
    for (;;) {
      await vms.wait(id, "stopped", { signal });
      await delay(restartMs, undefined, { signal });
      // One that is on its way again is waited for.
      if (atRest.has(vms.show(id).state)) await vms.agent(id);
    }
  };
  look().catch((thrown: unknown) => {
    const error = toBangerError(thrown);
    gone.abort(error.code === "vm.not-found" ? wasDeleted({ name }) : error);
  });
  return { signal: gone.signal, [Symbol.dispose]: () => over.abort() };
}

const atRest: ReadonlySet<VmRecord["state"]> = new Set(["created", "stopped", "broken"]);

/** Of the files that are shipped, and of the host's index: what is tracked changes there. */
async function directories(
  host: Awaited<ReturnType<typeof openHostSide>>,
  root: string,
  signal: AbortSignal,
): Promise<Set<string>> {
  const entries = await host.staging.entries({ signal });
  const found = directoriesOf(
    root,
    entries.map(({ name }) => name),
  );
  return found.add(await host.indexDirectory());
}
