// Which VM a user means: by exact name, exact id, or a prefix that fits only one.
import { BangerError } from "../lib/errors.ts";

/** Throws `vm.not-found` or `vm.ambiguous` (which names the candidates). */
export function findVm<R extends { id: string; name: string }>(rows: readonly R[], reference: string): R {
  const exact = rows.find((row) => row.name === reference) ?? rows.find((row) => row.id === reference);
  if (exact !== undefined) return exact;
  const candidates = rows.filter((row) => row.name.startsWith(reference) || row.id.startsWith(reference));
  const [only] = candidates;
  if (only !== undefined && candidates.length === 1) return only;
  if (only === undefined) {
    throw new BangerError("vm.not-found", `there is no VM "${reference}"`, { hint: "banger vm list" });
  }
  throw new BangerError(
    "vm.ambiguous",
    `"${reference}" fits ${candidates.length} VMs: ${candidates
      .map((row) => row.name)
      .slice(0, 8)
      .join(", ")}`,
    {
      hint: `banger vm show ${only.name}`,
      details: { candidates: candidates.map((row) => row.name) },
    },
  );
}
