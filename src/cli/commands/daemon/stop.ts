// banger daemon stop
import { BangerError } from "../../../lib/errors.ts";
import { defineCommand, flag } from "../../command.ts";

export default defineCommand<{ readonly force?: boolean }>({
  about: `Stops the daemon. Running VMs go on, and are found again by the next daemon, which any command starts. Refused while an
operation or a session is open, unless --force is given: then operations are cancelled and sessions end.`,
  examples: [
    ["banger daemon stop", "stop it when it is idle"],
    ["banger daemon stop --force", "stop it although it is busy"],
  ],
  parameters: { flags: { force: flag("end operations and sessions that are open") } },
  async run(context, { force }) {
    await using client = await context.connect({ autoStart: false });
    let stopped = true;
    try {
      const { pid } = await client.call("daemon.status", {});
      await client.call("daemon.stop", force === true ? { force } : {});
      const { untilEnded } = await import("../../../sdk/replace.ts");
      await untilEnded(pid, context.interrupts.signal);
    } catch (error) {
      if (!(error instanceof BangerError && error.details?.["notThere"] === true)) throw error;
      stopped = false;
    }
    if (context.terminal.json) context.terminal.printJson({ stopped });
    else context.terminal.notice(stopped ? "daemon stopped" : "no daemon was running");
  },
});
