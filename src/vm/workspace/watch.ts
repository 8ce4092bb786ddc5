// Syncs a workspace whenever files of the host change.
import type { ResultOf } from "../../api/methods.ts";
import type { VmRecord } from "../../api/records.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import { directoriesOf, WorkTreeWatch } from "../../workspace/watch.ts";
import { openHostSide } from "./sync.ts";

type Synced = ResultOf<"workspace.sync">;

/** The first result comes at once, whether or not something changed: from there on nothing is missed. */
export async function* watchWorkspace(
  record: VmRecord,
  workspace: WorkspaceRecord,
  sync: () => Promise<Synced>,
  signal: AbortSignal,
): AsyncGenerator<ResultOf<"workspace.watch">> {
  const host = await openHostSide(record, workspace);
  using watch = new WorkTreeWatch();
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
    await watch.changed(signal);
  }
}

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
