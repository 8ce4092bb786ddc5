// Errors of a guest that did not come up: they show the end of its console.
import { BangerError } from "../lib/errors.ts";
import { consoleTail } from "./console-log.ts";

/** An error of the boot with the end of the console, in its message and its details. */
export function bootError(
  code: "vm.boot-failed" | "vm.boot-timeout",
  message: string,
  consoleLog: string,
  cause?: unknown,
): BangerError {
  const tail = consoleTail(consoleLog);
  return new BangerError(
    code,
    tail === "" ? `${message}; its console is empty` : `${message}; its console ends with:\n${tail}`,
    {
      details: { consoleLog, consoleTail: tail },
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
