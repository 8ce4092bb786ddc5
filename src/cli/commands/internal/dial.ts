// banger internal dial: what ssh runs as its ProxyCommand
import { pipeline } from "node:stream/promises";
import { toBangerError } from "../../../lib/errors.ts";
import { dial } from "../../../sdk/dial.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { renderError } from "../../output/errors.ts";
import { withoutDomain } from "../../vm-domain.ts";

export default defineCommand<NonNullable<unknown>, [string, "ssh"]>({
  about: "Connects stdin and stdout to a service inside a running VM, until the service closes the connection.",
  examples: [["ssh -o ProxyCommand='banger internal dial sandbox ssh' root@sandbox", "what banger vm ssh does"]],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        ...oneReference("vm").parameters,
        {
          parse: (text: string): "ssh" => {
            if (text !== "ssh") throw new SyntaxError(`"${text}" is not a service: write ssh`);
            return text;
          },
          placeholder: "service",
          brief: "ssh",
        },
      ],
    },
  },
  async run(context, _flags, vm, service) {
    await using client = await context.connect();
    const { signal } = context.interrupts;
    const connection = await dial(client, { vm: withoutDomain(vm), target: { service } }, { signal });
    context.streams.stdin().pipe(connection);
    try {
      await pipeline(connection, context.streams.stdout, { end: false });
    } catch (error) {
      // The connection broke after it was made: ssh sees its end and says so itself, but not what became of the VM.
      if (!signal.aborted && saysWhy.test(toBangerError(error).code)) renderError(error, context.terminal);
      context.exitCode = 1;
    }
  },
});

const saysWhy = /^(?:guest\.unreachable|daemon\.)/;
