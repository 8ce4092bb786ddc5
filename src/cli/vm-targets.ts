// The verbs on several VMs that are one operation each: start, stop, restart, pause, resume, delete.
import type { ParamsOf } from "../api/methods.ts";
import type { VmRecord } from "../api/records.ts";
import { noticeBoot } from "./boot-notice.ts";
import type { CliContext } from "./context.ts";
import { operate } from "./operate.ts";
import { ProgressView } from "./output/progress.ts";
import { forTargets } from "./targets.ts";

type Verb = "vm.start" | "vm.stop" | "vm.restart" | "vm.pause" | "vm.resume" | "vm.delete";

const starts: ReadonlySet<Verb> = new Set<Verb>(["vm.start", "vm.restart", "vm.resume"]);

/** Runs the operation on each VM, with `params` beside its id; a deleted VM's JSON is its last record. */
export async function operateOnVms<N extends Verb>(
  context: CliContext,
  method: N,
  references: readonly string[],
  params: Partial<Omit<ParamsOf<N>, "vm">> = {},
): Promise<void> {
  await using client = await context.connect();
  using view = new ProgressView(context.terminal);
  await forTargets(context, references, {
    find: (vm) => client.call("vm.show", { vm }),
    act: async (record) => {
      const result = await operate(context, client, method, { ...params, vm: record.id }, { view });
      if (method === "vm.delete") return record;
      if (starts.has(method) && !("cold" in params)) noticeBoot(context.terminal, result as VmRecord);
      return result;
    },
  });
}
