// What QEMU itself said, without what it says at each start.
import { networkHub } from "./arguments.ts";
import { tailOf } from "./log-limit.ts";

/** That the network device leads nowhere is as it should be: QEMU looks before it could be plugged in. */
const usual = `warning: hub ${networkHub} is not connected to host network`;

/** The last `lines` lines of the VMM's log; empty when there is nothing to tell. */
export async function vmmWords(path: string, lines: number): Promise<string> {
  const all = (await tailOf(path, Number.MAX_SAFE_INTEGER)).split("\n");
  return all
    .filter((line) => !line.endsWith(usual))
    .slice(-lines)
    .join("\n");
}
