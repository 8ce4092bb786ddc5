// Writes the "newc" archives that the kernel unpacks as its first root.

export interface CpioEntry {
  /** Without a leading "/". Parents come before children. */
  name: string;
  type: "file" | "directory" | "character-device";
  /** Permission bits. */
  mode: number;
  data?: Uint8Array;
  device?: { major: number; minor: number };
}

const types = { file: 0o100000, directory: 0o040000, "character-device": 0o020000 } as const;

/** The archive as pieces to be written one after the other. Owner is root, times are 0: the same entries, the same bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  entries.forEach((entry, index) => {
    const links = entry.type === "directory" ? 2 : 1;
    const data = entry.data ?? new Uint8Array();
    const { major, minor } = entry.device ?? { major: 0, minor: 0 };
    pieces.push(
      header(entry.name, [index + 1, types[entry.type] | entry.mode, 0, 0, links, 0, data.length, 0, 0, major, minor]),
    );
    pieces.push(data, padding(data.length));
  });
  pieces.push(header("TRAILER!!!", [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
  return pieces;
}

/** Six magic bytes, 13 fields of 8 hex digits (the last two: size of the name with its zero, checksum), the name. */
function header(name: string, fields: readonly number[]): Uint8Array {
  const nameBytes = Buffer.from(`${name}\0`);
  const hex = [...fields, nameBytes.length, 0].map((field) => field.toString(16).padStart(8, "0")).join("");
  return Buffer.concat([Buffer.from(`070701${hex}`), nameBytes, padding(110 + nameBytes.length)]);
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
