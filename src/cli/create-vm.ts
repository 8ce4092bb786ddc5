// Making a VM for "vm run" and "vm create": progress, the line that says what is being made, and the time it took.
import type { ParamsOf } from "../api/methods.ts";
import type { Operation, VmRecord, VmSpec } from "../api/records.ts";
import { formatDuration, mib } from "../lib/units.ts";
import type { Client } from "../sdk/client.ts";
import { warnOfOthers } from "./forward-spec.ts";
import { noticeBoot } from "./boot-notice.ts";
import type { CliContext } from "./context.ts";
import { operate } from "./operate.ts";
import { ProgressView } from "./output/progress.ts";

/** Throws the operation's error; when it is interrupted, the daemon has undone everything before this rejects. */
export async function createVm(
  context: CliContext,
  client: Client,
  params: ParamsOf<"vm.create">,
  onBegin: (operation: Operation) => void = () => {},
): Promise<VmRecord> {
  using view = new ProgressView(context.terminal);
  const announce = announceSpec(context, client);
  const record = await operate(context, client, "vm.create", params, {
    view,
    onBegin,
    onUpdate: announce,
  });
  view[Symbol.dispose]();
  announce.with(record.spec);
  warnOfOthers(context.terminal, record.forwards);
  const verb = record.state === "running" ? "ready" : "created";
  if (params.cold !== true && record.state === "running") noticeBoot(context.terminal, record);
  context.terminal.notice(`${record.name}: ${verb} in ${formatDuration(view.elapsedMs)}`, "dim");
  return record;
}

/** "spec: 2 vcpu | 1024 MiB | 8G disk" once, as soon as the daemon has a record that says it. */
function announceSpec(context: CliContext, client: Client) {
  let said = false;
  let asking = false;
  const say = (spec: VmSpec) => {
    if (!said) context.terminal.notice(`spec: ${describeSpec(spec)}`);
    said = true;
  };
  const look = (operation: Operation) => {
    if (said || asking || operation.done || operation.target === "") return;
    asking = true;
    client.call("vm.show", { vm: operation.target }).then(
      (record) => say(record.spec),
      // Not recorded yet: the next update asks again, and the finished record says it in any case.
      () => {
        asking = false;
      },
    );
  };
  return Object.assign(look, { with: say });
}

/** The sizes of a VM on one line. */
export function describeSpec(spec: VmSpec): string {
  return `${spec.vcpus} vcpu | ${spec.memoryMib} MiB | ${shortSize(spec.diskBytes)} disk`;
}

/** "8G" or "1536M": as options take it; disks have whole MiB. */
export function shortSize(bytes: number): string {
  const gib = bytes / 1024 ** 3;
  return Number.isInteger(gib) ? `${gib}G` : `${Math.ceil(bytes / mib)}M`;
}
