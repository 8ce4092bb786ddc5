// Brings the userland of an image up once, in a VM that goes afterwards, and keeps all that as a snapshot.
import { Writable } from "node:stream";
import type { ParamsOf } from "../../api/methods.ts";
import { BangerError } from "../../lib/errors.ts";
import { newId } from "../../lib/ids.ts";
import type { Progress } from "../../lib/progress.ts";
import type { SnapshotRow } from "../../state/snapshots.ts";
import type { VmContext } from "../context.ts";
import { createVm } from "../create.ts";
import { changeNetwork } from "../network/change.ts";
import { resolveNetwork } from "../network/resolve.ts";
import { removeVm } from "../remove.ts";
import { takeSnapshot } from "./take.ts";

/** As much of a failed command's output is told. */
const maxTailBytes = 2048;

/**
 * Makes a VM that nobody holds (so a killed daemon's successor removes it), runs the command to its end, takes its network away, takes
 * a snapshot with memory, removes the VM. The caller holds the snapshot `id`. Throws what `createVm` and `takeSnapshot` throw, or `snapshot.failed` with
 * the end of the output when the command fails.
 */
export async function warmImage(
  context: VmContext,
  params: ParamsOf<"image.warm">,
  snapshot: { id: string; name: string },
  progress: Progress,
): Promise<SnapshotRow> {
  const { argv = [], environment = [], name: _name, ...request } = params;
  const created = await createVm(context, { ...request, name: `warm-${newId()}`, autoRemove: true }, progress);
  using _lock = await context.locks.acquire(created.id, neverAborted);
  const current = () => {
    const row = context.state.vms.get(created.id);
    if (row === undefined) throw new BangerError("vm.not-found", `VM "${created.name}" was deleted`);
    return row;
  };
  try {
    if (argv.length > 0) await runToEnd(context, created.id, { argv, environment }, progress);
    if (request.network !== undefined) {
      await changeNetwork(context, current(), resolveNetwork(context, undefined), progress);
    }
    return await takeSnapshot(context, current(), { ...snapshot, warm: true, progress });
  } finally {
    const row = context.state.vms.get(created.id);
    if (row !== undefined) await removeVm(context, row);
  }
}

async function runToEnd(
  context: VmContext,
  vmId: string,
  command: { argv: readonly string[]; environment: readonly string[] },
  progress: Progress,
): Promise<void> {
  const { signal } = progress;
  progress.stage("command", command.argv.join(" ").slice(0, 80));
  const agent = await context.sessions.get(vmId)?.agent;
  if (agent === undefined) throw new BangerError("snapshot.failed", "the VM ended before its command could run");
  let tail = Buffer.alloc(0);
  const output = () =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        tail = Buffer.concat([tail, chunk]).subarray(-maxTailBytes);
        done();
      },
    });
  const handle = await agent.exec({ ...command, stdout: output(), stderr: output() }, { signal });
  const { code } = await handle.exited;
  if (code === 0) return;
  const text = tail.toString("utf8").trim();
  throw new BangerError(
    "snapshot.failed",
    `"${command.argv[0] ?? ""}" ended with status ${code}${text === "" ? ", without output" : `; its output ends with:\n${text}`}`,
  );
}

const neverAborted = new AbortController().signal;
