// Makes tar archives for tests, entry by entry, also those that no tool would make.

export interface TestEntry {
  path: string;
  type?: "0" | "1" | "2" | "3" | "4" | "5" | "6" | "L" | "K" | "S" | "x" | "g" | "Z";
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  major?: number;
  minor?: number;
  link?: string;
  data?: Buffer | string;
  /** Pax records that stand before the entry. */
  pax?: Record<string, string | Buffer>;
}

/** A tar with its end mark. Names are latin1 text: one character, one byte. */
export function archive(entries: readonly TestEntry[]): Buffer {
  return Buffer.concat([...entries.map(encodeEntry), Buffer.alloc(1024)]);
}

export function encodeEntry(entry: TestEntry): Buffer {
  const data = Buffer.isBuffer(entry.data) ? entry.data : Buffer.from(entry.data ?? "");
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number) =>
    header.write(value.toString(8).padStart(length - 1, "0"), at, length - 1, "latin1");
  header.write(entry.path, 0, 100, "latin1");
  octal(entry.mode ?? 0o644, 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(data.length, 124, 12);
  octal(entry.mtime ?? 1_700_000_000, 136, 12);
  header.write(" ".repeat(8), 148, "latin1");
  header.write(entry.type ?? "0", 156, "latin1");
  header.write(entry.link ?? "", 157, 100, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  octal(entry.major ?? 0, 329, 8);
  octal(entry.minor ?? 0, 337, 8);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  const padding = Buffer.alloc((512 - (data.length % 512)) % 512);
  const pax = entry.pax === undefined ? [] : [encodeEntry({ path: "pax", type: "x", data: paxData(entry.pax) })];
  return Buffer.concat([...pax, header, data, padding]);
}

function paxData(records: Record<string, string | Buffer>): Buffer {
  return Buffer.concat(
    Object.entries(records).map(([key, value]) => {
      const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
      let length = body.length + 1;
      while (String(length).length + body.length !== length) length = String(length).length + body.length;
      return Buffer.concat([Buffer.from(String(length)), body]);
    }),
  );
}

/** A capability set as `setcap cap_net_raw+ep` stores it. */
export const netRawCapability = Buffer.from("0100000200200000000000000000000000000000", "hex");

/** One of each kind of entry, and names and owners at their limits. */
export const everything: readonly TestEntry[] = [
  { path: "./", type: "5", mode: 0o755 },
  { path: "./bin", type: "2", link: "usr/bin" },
  { path: "./usr/bin/", type: "5", mode: 0o755 },
  { path: "./bin/sudo", mode: 0o4755, data: "setuid program" },
  { path: "./usr/bin/hard", type: "1", link: "./bin/sudo" },
  {
    path: "./usr/bin/ping",
    mode: 0o755,
    data: "x".repeat(5000),
    pax: { "SCHILY.xattr.security.capability": netRawCapability, "SCHILY.xattr.user.note": "a=b\n" },
  },
  { path: "./tmp/", type: "5", mode: 0o1777 },
  { path: "./home/owner/", type: "5", mode: 0o700, uid: 70_000, gid: 4_000_0 },
  { path: "./home/owner/secret", mode: 0, uid: 70_000, data: "s" },
  { path: "./home/huge-id", pax: { uid: "4294967294", gid: "3000000000" } },
  { path: "./dev/null", type: "3", mode: 0o666, major: 1, minor: 3 },
  { path: "./dev/disk", type: "4", mode: 0o660, gid: 6, major: 8, minor: 300 },
  { path: "./run/pipe", type: "6", mode: 0o600 },
  { path: "./long", pax: { path: `./d/${"n".repeat(255)}` }, data: "long name" },
  { path: "./deep", pax: { path: `./${"deep/".repeat(300)}file` }, data: "deep" },
  { path: './odd/new\nline "quoted" \xff\\', data: "odd" },
  { path: "./odd/.wh.kept", data: "" },
  { path: "./link-long", type: "2", pax: { linkpath: `/${"t".repeat(200)}` } },
  { path: "./times/old", mtime: 0, pax: { mtime: "-1.5" } },
  { path: "./times/far", pax: { mtime: "5000000000.123456789" } },
  { path: "./many/", type: "5", mode: 0o755 },
  ...Array.from({ length: 400 }, (_, index) => ({ path: `./many/file-${index}`, data: String(index) })),
];
