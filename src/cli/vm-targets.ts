// The verbs on several VMs that are one operation each: start, stop, restart, delete.
import type { CliContext } from "./context.ts";
import { operate } from "./operate.ts";
import { ProgressView } from "./output/progress.ts";
import { forTargets } from "./targets.ts";

/** Runs the operation on each VM; a deleted VM's JSON is its last record. */
export async function operateOnVms(
  context: CliContext,
  method: "vm.start" | "vm.stop" | "vm.restart" | "vm.delete",
  references: readonly string[],
): Promise<void> {
  await using client = await context.connect();
  using view = new ProgressView(context.terminal);
  await forTargets(context, references, {
    find: (vm) => client.call("vm.show", { vm }),
    act: async (record) => {
      const result = await operate(context, client, method, { vm: record.id }, { view });
      return method === "vm.delete" ? record : result;
    },
  });
}
