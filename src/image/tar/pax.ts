// Pax extended headers: records of a key and a value, and what they say of an entry.
import { TarError } from "./header.ts";

export interface PaxRecord {
  key: string;
  value: Buffer;
}

/** Records "<length> <key>=<value>\n", in their order; a key may come more than once. */
export function parsePax(data: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  for (let at = 0; at < data.length;) {
    if (data[at] === 0) break;
    const space = data.indexOf(0x20, at);
    const digits = space < 0 || space - at > 10 ? "" : data.toString("latin1", at, space);
    const length = /^\d+$/.test(digits) ? Number(digits) : Number.NaN;
    const end = at + length;
    const equals = data.indexOf(0x3d, space);
    if (!Number.isSafeInteger(length) || end > data.length || equals < 0 || equals >= end || data[end - 1] !== 0x0a) {
      throw new TarError("a pax record is malformed");
    }
    records.push({
      key: data.toString("latin1", space + 1, equals),
      value: data.subarray(equals + 1, end - 1),
    });
    at = end;
  }
  return records;
}

/** What the last record of each key says, as bytes. */
export class PaxFields {
  readonly #last: ReadonlyMap<string, Buffer>;

  constructor(records: readonly PaxRecord[]) {
    this.#last = new Map(records.map(({ key, value }) => [key, value]));
  }

  /** As latin1 text; undefined also when it is empty, which takes the record back. */
  text(key: string): string | undefined {
    const value = this.#last.get(key);
    return value === undefined || value.length === 0 ? undefined : value.toString("latin1");
  }

  number(key: string): number | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    if (!/^-?\d{1,20}$/.test(value)) throw new TarError(`its pax record "${key}" is no whole number`);
    return Number(value);
  }

  /** Extended attributes by their names. */
  xattrs(): ReadonlyMap<string, Buffer> {
    const prefix = "SCHILY.xattr.";
    const found = new Map<string, Buffer>();
    for (const [key, value] of this.#last) if (key.startsWith(prefix)) found.set(key.slice(prefix.length), value);
    return found;
  }

  /** Access control lists as text: "access" and "default". */
  aclTexts(): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const kind of ["access", "default"]) {
      const value = this.text(`SCHILY.acl.${kind}`);
      if (value !== undefined) found.set(kind, value);
    }
    return found;
  }
}
