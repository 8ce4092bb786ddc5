// What callers ask of a shipment, with what they left out.
import type { ParamsOf } from "../../api/methods.ts";
import { BangerError } from "../../lib/errors.ts";
import type { ShipmentRequest } from "../../workspace/staging/shipment.ts";

/** Throws `usage` for what makes no sense together. */
export function wantedShipment(params: Omit<ParamsOf<"workspace.inspect">, "path">): ShipmentRequest {
  const { mode = "shallow", includeUntracked = false, branch, from } = params;
  if (from !== undefined && branch === undefined) {
    throw new BangerError("usage", "--from says where a new branch begins: it needs --branch");
  }
  if (from !== undefined && includeUntracked) {
    throw new BangerError(
      "usage",
      "--from and --include-untracked exclude each other: the files are those of the commit",
    );
  }
  if (branch !== undefined && mode === "copy") {
    throw new BangerError("usage", "--branch and --mode copy exclude each other: a copy has no git");
  }
  if (includeUntracked && mode === "metadata-only") {
    throw new BangerError(
      "usage",
      "--include-untracked and --mode metadata-only exclude each other: no files are shipped",
    );
  }
  return { mode, includeUntracked, branch, from };
}
