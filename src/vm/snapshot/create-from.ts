// `vm.create` from a snapshot instead of an image.
import type { ParamsOf } from "../../api/methods.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import { newId, newName } from "../../lib/ids.ts";
import type { Progress } from "../../lib/progress.ts";
import { undone } from "../../lib/undo.ts";
import { resolveNetwork } from "../network/resolve.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import { lifetimeOf } from "../last-use.ts";
import { removeVm } from "../remove.ts";
import { checkName } from "../spec.ts";
import { goOnFrom } from "./go-on.ts";
import { originOf } from "./origin.ts";
import { numberedName, type NamedSnapshot } from "./reference.ts";
import { makeSuccessor, type SuccessorRequest } from "./successor.ts";

/** What a snapshot brings along. */
const fixed = ["image", "kernel", "vcpus", "memoryMib", "diskBytes", "overlayBytes", "init"] as const;

/**
 * Makes a VM that goes on from the snapshot, which the caller holds; with `start: false` it has the snapshot's disks and boots when it
 * is started. A VM that cannot go on is not kept. Throws `vm.spec-invalid` for options that the snapshot decides, and as `goOnFrom` does.
 */
export async function createFromSnapshot(
  context: VmContext,
  snapshot: NamedSnapshot,
  params: ParamsOf<"vm.create">,
  progress: Progress,
  onNamed: (name: string) => void = () => {},
): Promise<VmRow> {
  const given = fixed.filter((option) => params[option] !== undefined);
  if (given.length > 0) {
    throw new BangerError("vm.spec-invalid", `${given.join(", ")} cannot be given: the snapshot decides`, {
      hint: `banger vm snapshot show ${snapshot.name}`,
    });
  }
  if (params.name !== undefined) checkName(params.name);
  const { signal } = progress;
  const start = params.start ?? true;
  const autoRemove = params.autoRemove ?? false;
  const origin = await originOf(context, snapshot, { signal, cold: params.cold });
  const isTaken = (name: string) => context.state.vms.byName(name) !== undefined;
  const name = () => {
    const chosen = params.name ?? newName();
    return params.name === undefined && isTaken(chosen) ? numberedName(chosen, isTaken) : chosen;
  };
  const id = newId();
  using ports = await context.forwards.reserve(id, params.publish ?? []);
  // Until it runs it goes with its client, so that the next daemon removes it if this one is killed.
  const request: SuccessorRequest = {
    snapshot,
    name,
    state: start ? "starting" : "created",
    autoRemove: start || autoRemove,
    labels: params.labels,
    lifetime: lifetimeOf(params.lifetime),
    id,
    forwards: ports.forwards,
    ...(params.network === undefined ? {} : { network: resolveNetwork(context, params.network) }),
  };
  using successor = await makeSuccessor(context, request, { signal });
  const { row } = successor;
  onNamed(row.name);
  if (!start) return row;
  try {
    await goOnFrom(context, row, origin, progress);
    crashPoint("create.goes-on");
    return autoRemove ? row : context.state.vms.update(row.id, { autoRemove });
  } catch (error) {
    const now = context.state.vms.get(row.id);
    throw now === undefined ? error : await undone(error, () => removeVm(context, now));
  }
}
