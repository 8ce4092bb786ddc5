// Tables of images and kernels, which look the same here: a content id, one name, and a manifest that its owner can read.
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { BangerError } from "../lib/errors.ts";
import { explaining } from "./sqlite-error.ts";

export interface ManifestRow {
  id: string;
  name: string;
  /** JSON text; its schema is the owner's (src/image, src/kernel). */
  manifest: string;
  createdAt: number;
}

export interface ManifestTable {
  /** Throws image.exists (kernel.exists) when the id or the name is there already. */
  insert(row: ManifestRow): void;
  get(id: string): ManifestRow | undefined;
  byName(name: string): ManifestRow | undefined;
  /** Newest first. */
  list(): ManifestRow[];
  /** False when there was none; throws image.in-use (kernel.in-use) when a VM is made of it. */
  remove(id: string): boolean;
  /** Gives `id` another name. Throws image.exists when something else has it. */
  rename(id: string, name: string): void;
  /** Gives `id` another manifest. */
  describe(id: string, manifest: string): void;
}

/** The table of one kind of thing. */
export function manifestTable(database: DatabaseSync, kind: "image" | "kernel"): ManifestTable {
  const table = `${kind}s`;
  const find = (where: string, value: string) => {
    const raw = database.prepare(`SELECT * FROM ${table} WHERE ${where} = ?`).get(value);
    return raw === undefined ? undefined : fromRaw(raw);
  };
  return {
    insert(row) {
      explaining(
        () =>
          database
            .prepare(`INSERT INTO ${table} (id, name, manifest, created_at) VALUES (?, ?, ?, ?)`)
            .run(row.id, row.name, row.manifest, row.createdAt),
        { duplicate: [`${kind}.exists`, `${kind} "${row.name}" exists already`, `banger ${kind} show ${row.name}`] },
      );
    },
    get: (id) => find("id", id),
    byName: (name) => find("name", name),
    list: () => database.prepare(`SELECT * FROM ${table} ORDER BY created_at DESC, id`).all().map(fromRaw),
    remove(id) {
      const name = find("id", id)?.name ?? id;
      return explaining(() => database.prepare(`DELETE FROM ${table} WHERE id = ?`).run(id).changes === 1, {
        reference: [`${kind}.in-use`, `${kind} "${name}" is used by a VM`, "banger vm list"],
      });
    },
    rename(id, name) {
      const { changes } = explaining(
        () => database.prepare(`UPDATE ${table} SET name = ? WHERE id = ?`).run(name, id),
        {
          duplicate: [`${kind}.exists`, `${kind} "${name}" exists already`, `banger ${kind} show ${name}`],
        },
      );
      if (changes === 0) throw notFound(kind, id);
    },
    describe(id, manifest) {
      const { changes } = database.prepare(`UPDATE ${table} SET manifest = ? WHERE id = ?`).run(manifest, id);
      if (changes === 0) throw notFound(kind, id);
    },
  };
}

function notFound(kind: "image" | "kernel", id: string): BangerError {
  return new BangerError(`${kind}.not-found`, `no ${kind} has the id "${id}"`, { hint: `banger ${kind} list` });
}

function fromRaw(raw: Record<string, SQLOutputValue>): ManifestRow {
  return {
    id: String(raw["id"]),
    name: String(raw["name"]),
    manifest: String(raw["manifest"]),
    createdAt: Number(raw["created_at"]),
  };
}
