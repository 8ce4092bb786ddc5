// Where the guest's agent lies that belongs to this build.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "../lib/errors.ts";

/**
 * Absolute path of the static agent for an architecture ("amd64", "arm64"). Throws `vm.boot-failed` when it was not built.
 * BANGER_DEBUG_AGENT names another one: for tests with hostile guests.
 */
export function agentFile(architecture: string): string {
  const other = process.env["BANGER_DEBUG_AGENT"];
  if (other !== undefined) return other;
  const name = `agent/banger-agent-${architecture}`;
  // Beside the bundle, or in dist/ when this runs from source.
  const places = [join(import.meta.dirname, name), join(import.meta.dirname, "../../dist", name)];
  const found = places.find((path) => existsSync(path));
  if (found === undefined) {
    throw new BangerError("vm.boot-failed", `the guest agent for ${architecture} is not built: no "${places.at(-1)}"`, {
      hint: "make build",
    });
  }
  return found;
}
