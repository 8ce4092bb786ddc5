// The maps of sparse files, in the four forms that GNU tar has used: in the header, and in pax records 0.0, 0.1 and 1.0.
import type { ByteReader } from "./byte-reader.ts";
import { TarError, blockBytes, octalOrBinary } from "./header.ts";
import type { PaxRecord } from "./pax.ts";

/** A piece of the file that has data; in between are zeros. */
export interface SparseRegion {
  offset: number;
  sizeBytes: number;
}

export interface SparseMap {
  regions: readonly SparseRegion[];
  /** Size of the file with its holes. */
  realBytes: number;
}

const maxRegions = 1_000_000;

/** From a header of type "S", and the blocks that follow it when the map does not fit. */
export async function oldGnuMap(header: Buffer, reader: ByteReader): Promise<SparseMap> {
  const numbers: number[] = [];
  const realBytes = octalOrBinary(header, 483, 12, "size");
  let hasMore = (header[482] ?? 0) !== 0;
  addPairs(numbers, header, 386, 4);
  while (hasMore) {
    const block = await reader.take(blockBytes);
    if (block === undefined) throw reader.cutShort();
    hasMore = (block[504] ?? 0) !== 0;
    addPairs(numbers, block, 0, 21);
    check(numbers.length);
  }
  return toMap(numbers, realBytes);
}

function addPairs(numbers: number[], block: Buffer, start: number, count: number): void {
  for (let at = start; at < start + count * 24; at += 24) {
    // Pairs that are not used are zeros.
    if (block[at] === 0 && block[at + 12] === 0) return;
    numbers.push(octalOrBinary(block, at, 12, "map"), octalOrBinary(block, at + 12, 12, "map"));
  }
}

/** Which of the three forms pax records use; undefined for none. */
export function paxSparseForm(records: readonly PaxRecord[]): "0.0" | "0.1" | "1.0" | undefined {
  const value = (key: string) => records.findLast((record) => record.key === key)?.value.toString("latin1");
  if (value("GNU.sparse.major") === "1" && value("GNU.sparse.minor") === "0") return "1.0";
  if (value("GNU.sparse.map") !== undefined) return "0.1";
  if (records.some(({ key }) => key === "GNU.sparse.offset" || key === "GNU.sparse.numblocks")) return "0.0";
  if (!records.some(({ key }) => key.startsWith("GNU.sparse."))) return undefined;
  throw new TarError("its sparse map has an unknown form");
}

/** From the records of the forms 0.0 and 0.1. */
export function paxMap(records: readonly PaxRecord[], form: "0.0" | "0.1"): SparseMap {
  const values = (...keys: string[]) =>
    records.filter((record) => keys.includes(record.key)).map(({ value }) => value.toString("latin1"));
  const texts =
    form === "0.0"
      ? values("GNU.sparse.offset", "GNU.sparse.numbytes")
      : (values("GNU.sparse.map").at(-1) ?? "").split(",").filter((text) => text !== "");
  const real = values("GNU.sparse.size", "GNU.sparse.realsize").at(-1);
  return toMap(texts.map(decimal), decimal(real ?? ""));
}

/** From the start of the data (form 1.0): lines of numbers up to a block's end. Also returns how many bytes it took. */
export async function leadingMap(
  reader: ByteReader,
  storedBytes: number,
  records: readonly PaxRecord[],
): Promise<{ map: SparseMap; takenBytes: number }> {
  const real = records.findLast(({ key }) => key === "GNU.sparse.realsize")?.value.toString("latin1");
  const numbers: number[] = [];
  let takenBytes = 0;
  let digits = "";
  let wanted = Number.POSITIVE_INFINITY;
  while (numbers.length < wanted) {
    if (takenBytes + blockBytes > storedBytes) throw new TarError("its sparse map does not end");
    const block = await reader.take(blockBytes);
    if (block === undefined) throw reader.cutShort();
    takenBytes += blockBytes;
    for (const byte of block) {
      if (numbers.length >= wanted) break;
      if (byte !== 0x0a) {
        digits += String.fromCharCode(byte);
        if (digits.length > 20) throw new TarError("its sparse map is malformed");
        continue;
      }
      const number = decimal(digits);
      digits = "";
      if (wanted === Number.POSITIVE_INFINITY) {
        check(number * 2);
        wanted = number * 2;
      } else numbers.push(number);
    }
  }
  return { map: toMap(numbers, decimal(real ?? "")), takenBytes };
}

function decimal(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new TarError("its sparse map is malformed");
  return value;
}

function check(count: number): void {
  if (count > maxRegions * 2) throw new TarError(`its sparse map has more than ${maxRegions} regions`);
}

function toMap(numbers: readonly number[], realBytes: number): SparseMap {
  check(numbers.length);
  if (numbers.length % 2 !== 0) throw new TarError("its sparse map is malformed");
  const regions: SparseRegion[] = [];
  let end = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const offset = numbers[at] ?? 0;
    const sizeBytes = numbers[at + 1] ?? 0;
    if (offset < end || sizeBytes < 0) throw new TarError("its sparse map is out of order");
    end = offset + sizeBytes;
    if (sizeBytes > 0) regions.push({ offset, sizeBytes });
  }
  if (end > realBytes) throw new TarError("its sparse map reaches past its end");
  return { regions, realBytes };
}
