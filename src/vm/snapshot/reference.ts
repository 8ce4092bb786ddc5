// Names of snapshots: which one a user means, which ones are allowed, and one that is free.
import { namePattern } from "../../api/records.ts";
import { BangerError } from "../../lib/errors.ts";
import type { SnapshotRow } from "../../state/snapshots.ts";

/** A snapshot that can be asked for: it is complete and has a name. */
export type NamedSnapshot = SnapshotRow & { name: string };

/** Those that people see; the others only carry disks. */
export function isListed(row: SnapshotRow): row is NamedSnapshot {
  return row.complete && row.name !== null;
}

/** By exact name, exact id, or a prefix that fits only one. Throws `snapshot.not-found` or `snapshot.ambiguous`. */
export function findSnapshot(rows: readonly SnapshotRow[], reference: string): NamedSnapshot {
  const listed = rows.filter(isListed);
  const exact = listed.find((row) => row.name === reference) ?? listed.find((row) => row.id === reference);
  if (exact !== undefined) return exact;
  const candidates = listed.filter((row) => row.name.startsWith(reference) || row.id.startsWith(reference));
  const [only] = candidates;
  if (only === undefined) {
    throw new BangerError("snapshot.not-found", `there is no snapshot "${reference}"`, {
      hint: "banger vm snapshot list",
    });
  }
  if (candidates.length === 1) return only;
  const names = candidates.map((row) => row.name);
  throw new BangerError(
    "snapshot.ambiguous",
    `"${reference}" fits ${names.length} snapshots: ${names.slice(0, 8).join(", ")}`,
    { hint: `banger vm snapshot show ${only.name}`, details: { candidates: names } },
  );
}

/** Throws `vm.name-invalid` unless the name may be that of a snapshot: the rule of VMs' names. */
export function checkSnapshotName(name: string): void {
  if (namePattern.test(name)) return;
  throw new BangerError(
    "vm.name-invalid",
    `"${name}" cannot be a snapshot's name: it must be 1 to 63 of a-z, 0-9 and "-", with no "-" at either end`,
    { hint: "banger vm snapshot create --help" },
  );
}

const maxLength = 63;

/** The first of `<stem>-1`, `<stem>-2`, ... that is not taken; a stem that is too long for a name is cut. */
export function numberedName(stem: string, isTaken: (name: string) => boolean): string {
  const usable = stem.toLowerCase().replaceAll(/[^a-z0-9-]+/g, "-");
  for (let number = 1; ; number++) {
    const end = `-${number}`;
    const name = `${usable.slice(0, maxLength - end.length).replaceAll(/^-+|-+$/g, "")}${end}`.replace(/^-/, "");
    if (!isTaken(name)) return name;
  }
}
