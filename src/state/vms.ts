// Table of VMs: what should be, as the user asked for it. Whether a VMM runs is observed elsewhere, never believed from here.
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { NetworkPolicy } from "../api/network-records.ts";
import type { Forward, Lifetime, StartRecord, VmRecord, VmSpec, VmState } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";
import { asIs, columnsOf, flag, json } from "./rows.ts";
import { explaining } from "./sqlite-error.ts";

export interface VmRow {
  id: string;
  name: string;
  state: VmState;
  reason: string;
  imageId: string;
  imageName: string;
  kernelId: string;
  kernelName: string;
  spec: VmSpec;
  autoRemove: boolean;
  workspace: VmRecord["workspace"];
  /** Private SSH host key of the guest: secret, never in a reply or log. */
  hostKeyPem: string;
  hostKeyPublic: string;
  bootId: string | null;
  /** What the writable disks rest on; null while they are whole files of their own. */
  baseSnapshotId: string | null;
  /** Counts the top layers that the disks have had: part of their file names (src/vm/disk-files.ts). */
  diskEpoch: number;
  /** Path of the image's own init, which the guest runs; null when its agent is all the init there is. */
  init: string | null;
  labels: Record<string, string>;
  forwards: Forward[];
  lifetime: Lifetime | null;
  /** Loopback address of the host that is this VM's own. */
  address: string | null;
  /** What it may reach; null: it has no network. */
  network: NetworkPolicy | null;
  /** Written seldom: what went on since is known to the daemon only. */
  lastUsedAt: number | null;
  lastStart: StartRecord | null;
  /**
   * Of the machine that was started last (src/vm/fingerprint.ts): the VMM, kernel and agent that are installed may be others by now.
   * null: it was started by a version that did not record it, or never.
   */
  fingerprint: string | null;
  createdAt: number;
  startedAt: number | null;
}

/** What a VM has only when it was asked for. */
export const plainVm = {
  labels: {},
  forwards: [],
  lifetime: null,
  address: null,
  network: null,
  lastUsedAt: null,
} satisfies Partial<VmRow>;

export interface VmTable {
  /** Throws vm.name-taken when a VM has the name, image.not-found when the image or kernel is not in its table. */
  insert(row: VmRow): void;
  get(id: string): VmRow | undefined;
  byName(name: string): VmRow | undefined;
  /** Newest first. */
  list(): VmRow[];
  /** Changes the fields given and returns the whole row. Throws vm.not-found, vm.name-taken. */
  update(id: string, change: Partial<Omit<VmRow, "id">>): VmRow;
  /** False when there was none. */
  remove(id: string): boolean;
}

const columns = columnsOf<VmRow>({
  id: asIs("id"),
  name: asIs("name"),
  state: asIs("state"),
  reason: asIs("reason"),
  imageId: asIs("image_id"),
  imageName: asIs("image_name"),
  kernelId: asIs("kernel_id"),
  kernelName: asIs("kernel_name"),
  spec: json("spec"),
  autoRemove: flag("auto_remove"),
  workspace: json("workspace"),
  hostKeyPem: asIs("host_key_pem"),
  hostKeyPublic: asIs("host_key_public"),
  bootId: asIs("boot_id"),
  baseSnapshotId: asIs("base_snapshot_id"),
  diskEpoch: asIs("disk_epoch"),
  init: asIs("init"),
  labels: json("labels"),
  forwards: json("forwards"),
  lifetime: json("lifetime"),
  address: asIs("address"),
  network: json("network"),
  lastUsedAt: asIs("last_used_at"),
  lastStart: json("last_start"),
  fingerprint: asIs("fingerprint"),
  createdAt: asIs("created_at"),
  startedAt: asIs("started_at"),
});
const { fields } = columns;

export function vmTable(database: DatabaseSync): VmTable {
  const select = (rest: string) => database.prepare(`SELECT * FROM vms ${rest}`);
  const find = (where: string, value: string) => {
    const raw = select(`WHERE ${where} = ?`).get(value);
    return raw === undefined ? undefined : columns.read(raw);
  };
  const write = (sql: string, values: SQLInputValue[], name: string | undefined) =>
    explaining(() => database.prepare(sql).run(...values), {
      duplicate: ["vm.name-taken", `a VM named "${name ?? ""}" exists already`, `banger vm show ${name ?? ""}`],
      reference: ["image.not-found", `the image or kernel of VM "${name ?? ""}" was removed`, "banger image list"],
    });

  return {
    insert(row) {
      const names = columns.names(fields).join(", ");
      const marks = fields.map(() => "?").join(", ");
      write(`INSERT INTO vms (${names}) VALUES (${marks})`, columns.write(fields, row), row.name);
    },
    get: (id) => find("id", id),
    byName: (name) => find("name", name),
    list: () => select("ORDER BY created_at DESC, id").all().map(columns.read),
    update(id, change) {
      const changed = fields.filter((field) => field !== "id" && field in change);
      if (changed.length > 0) {
        const set = columns
          .names(changed)
          .map((name) => `${name} = ?`)
          .join(", ");
        write(`UPDATE vms SET ${set} WHERE id = ?`, [...columns.write(changed, change), id], change.name);
      }
      const row = find("id", id);
      if (row === undefined)
        throw new BangerError("vm.not-found", `no VM has the id "${id}"`, { hint: "banger vm list" });
      return row;
    },
    remove: (id) => database.prepare("DELETE FROM vms WHERE id = ?").run(id).changes === 1,
  };
}
