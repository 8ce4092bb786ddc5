// Where the program lies that carries the networks of VMs.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "../lib/errors.ts";

/** Absolute path of banger-netd. Throws `network.missing` when it was not built. BANGER_DEBUG_NETD names another one, for tests. */
export function netdFile(): string {
  const name = "netd/banger-netd";
  // Beside the bundle, or in dist/ when this runs from source.
  const other = process.env["BANGER_DEBUG_NETD"];
  const places =
    other === undefined ? [join(import.meta.dirname, name), join(import.meta.dirname, "../../dist", name)] : [other];
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new BangerError(
    "network.missing",
    `the program that carries the network of VMs is not there: no "${places.at(-1)}"`,
    {
      hint: "make build  # or leave --nat, --network and --allow out",
    },
  );
}
