// Table of snapshots: a tree of frozen disks, some with memory. What VMs rest on stays until nothing rests on it.
import type { DatabaseSync } from "node:sqlite";
import type { NetworkPolicy } from "../api/network-records.ts";
import type { VmRecord, VmSpec } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";
import { asIs, columnsOf, flag, json } from "./rows.ts";
import { explaining } from "./sqlite-error.ts";

export interface SnapshotRow {
  id: string;
  /** null: nobody can ask for it any more, or never could; its disks stay while something rests on them. */
  name: string | null;
  /** The snapshot that its disks rest on; null when they are whole files. */
  parentId: string | null;
  /** False while it is being made: then it has no memory that could be believed in. */
  complete: boolean;
  vmId: string;
  vmName: string;
  imageId: string;
  imageName: string;
  kernelId: string;
  kernelName: string;
  spec: VmSpec;
  /** The image's own init that runs in it and in VMs that are made of it; null for none. */
  init: string | null;
  workspace: VmRecord["workspace"];
  /** What VMs that go on from it may reach unless they are made otherwise; null: they have no network. */
  network: NetworkPolicy | null;
  /** What a machine must have in common with it for its memory to be restored; null when there is no memory. */
  fingerprint: string | null;
  /** Made by image.warm. */
  warm: boolean;
  /** How long the VM stood still for it. */
  pausedMs: number;
  createdAt: number;
}

export interface SnapshotTable {
  /** Throws snapshot.name-taken; image.not-found when image, kernel or parent is not in its table. */
  insert(row: SnapshotRow): void;
  get(id: string): SnapshotRow | undefined;
  byName(name: string): SnapshotRow | undefined;
  /** Newest first, also those without a name. */
  list(): SnapshotRow[];
  /** Changes the fields given and returns the whole row. Throws snapshot.not-found, snapshot.name-taken. */
  update(id: string, change: Partial<Omit<SnapshotRow, "id">>): SnapshotRow;
  /** False when there was none. Throws snapshot.failed while a VM or another snapshot rests on it. */
  remove(id: string): boolean;
  /** Those without a name on which neither a VM nor a snapshot rests. Removing them may uncover more. */
  unused(): SnapshotRow[];
}

const columns = columnsOf<SnapshotRow>({
  id: asIs("id"),
  name: asIs("name"),
  parentId: asIs("parent_id"),
  complete: flag("complete"),
  vmId: asIs("vm_id"),
  vmName: asIs("vm_name"),
  imageId: asIs("image_id"),
  imageName: asIs("image_name"),
  kernelId: asIs("kernel_id"),
  kernelName: asIs("kernel_name"),
  spec: json("spec"),
  init: asIs("init"),
  workspace: json("workspace"),
  network: json("network"),
  fingerprint: asIs("fingerprint"),
  warm: flag("warm"),
  pausedMs: asIs("paused_ms"),
  createdAt: asIs("created_at"),
});
const { fields } = columns;

export function snapshotTable(database: DatabaseSync): SnapshotTable {
  const all = (rest: string, ...values: string[]) =>
    database
      .prepare(`SELECT * FROM snapshots ${rest}`)
      .all(...values)
      .map(columns.read);
  const explained = <T>(name: string | null | undefined, body: () => T) =>
    explaining(body, {
      duplicate: [
        "snapshot.name-taken",
        `a snapshot named "${name ?? ""}" exists already`,
        `banger vm snapshot show ${name ?? ""}`,
      ],
      reference: ["image.not-found", "the image, kernel or parent of the snapshot was removed", "banger image list"],
    });
  const get = (id: string) => all("WHERE id = ?", id)[0];
  return {
    get,
    insert(row) {
      const sql = `INSERT INTO snapshots (${columns.names(fields).join(", ")}) VALUES (${fields.map(() => "?").join(", ")})`;
      explained(row.name, () => database.prepare(sql).run(...columns.write(fields, row)));
    },
    byName: (name) => all("WHERE name = ?", name)[0],
    list: () => all("ORDER BY created_at DESC, id"),
    update(id, change) {
      const changed = fields.filter((field) => field !== "id" && field in change);
      if (changed.length > 0) {
        const set = columns
          .names(changed)
          .map((name) => `${name} = ?`)
          .join(", ");
        const statement = database.prepare(`UPDATE snapshots SET ${set} WHERE id = ?`);
        explained(change.name, () => statement.run(...columns.write(changed, change), id));
      }
      const row = get(id);
      if (row === undefined)
        throw new BangerError("snapshot.not-found", `no snapshot has the id "${id}"`, {
          hint: "banger vm snapshot list",
        });
      return row;
    },
    remove: (id) =>
      explaining(() => database.prepare("DELETE FROM snapshots WHERE id = ?").run(id).changes === 1, {
        reference: ["snapshot.failed", `a VM or a snapshot rests on the snapshot "${id}"`, "banger vm snapshot list"],
      }),
    unused: () =>
      all(`WHERE name IS NULL
        AND id NOT IN (SELECT base_snapshot_id FROM vms WHERE base_snapshot_id IS NOT NULL)
        AND id NOT IN (SELECT parent_id FROM snapshots WHERE parent_id IS NOT NULL)`),
  };
}
