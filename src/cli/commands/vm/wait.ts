// banger vm wait
import type { ParamsOf } from "../../../api/methods.ts";
import { BangerError } from "../../../lib/errors.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { durationOption } from "../../duration.ts";

type Condition = ParamsOf<"vm.wait">["for"];
const states = ["running", "stopped", "paused", "deleted", "exec"] as const;

export default defineCommand<{ readonly for?: Condition; readonly timeout?: number }, [string]>({
  about: `Returns once a VM is in a state, takes commands, or something in it listens on a port. Exits with 1 when the time is over, or when it
can not come to that any more: the VM was stopped or deleted. A VM that is not there is deleted.`,
  examples: [
    ["banger vm wait web --for port:8080 --timeout 30s", "until its server listens"],
    ["banger vm wait job --for stopped", "until it has shut itself down"],
    ["banger vm create --name web && banger vm wait web --for exec", "until commands can run in it"],
  ],
  parameters: {
    positional: oneReference("vm"),
    flags: {
      for: {
        kind: "parsed",
        parse: parseCondition,
        optional: true,
        placeholder: "condition",
        brief: "running, stopped, paused, deleted, exec, or port:<number>; default: running",
        proposeCompletions: () => [...states, "port:"],
      },
      timeout: durationOption("timeout", "how long to wait at the most, e.g. 30s or 5m; default: for ever", {
        most: "24d",
      }),
    },
  },
  async run(context, { for: condition = "running", timeout }, vm) {
    await using client = await context.connect();
    const { vm: record } = await client.call(
      "vm.wait",
      { vm, for: condition, ...(timeout === undefined ? {} : { timeoutMs: timeout }) },
      { signal: context.interrupts.signal },
    );
    const { terminal } = context;
    if (terminal.json) terminal.printJson(record);
    else terminal.print(record === null ? vm : terminal.quiet ? record.id : record.name);
  },
});

function parseCondition(text: string): Condition {
  const state = states.find((one) => one === text);
  if (state !== undefined) return state;
  const port = Number(/^port:(\d{1,5})$/.exec(text)?.[1]);
  if (port >= 1 && port <= 65_535) return { port };
  throw new BangerError("usage", `--for "${text}" is not one of ${states.join(", ")} or port:<number>`);
}
