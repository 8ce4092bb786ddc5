// The [[file_sync]] tables of config.toml: what each of their keys may be.
import * as v from "valibot";

const hostExpected = 'an absolute path or one that begins with "~/", without ".."';
const guestExpected = 'a path that begins with "~/" or "/root/", without ".."';
const modeExpected = 'an octal mode in quotes such as "0600"';
/** Also the file's own limit for a path. */
const maxPathBytes = 4096;

function path(expected: string, begin: RegExp) {
  const isPath = (text: string) =>
    begin.test(text) &&
    !/\p{Cc}/u.test(text) &&
    Buffer.byteLength(text) < maxPathBytes &&
    !text.split("/").includes("..") &&
    // There is something in it besides dots and slashes.
    text
      .replace(begin, "")
      .split("/")
      .some((part) => part !== "" && part !== ".");
  return v.pipe(v.string(expected), v.check(isPath, expected));
}

const keys = {
  host: v.pipe(
    path(hostExpected, /^(?:~\/|\/)/),
    v.description(
      "File or directory on this host, in your home directory once symbolic links are followed. One that is not there is left out with a warning.",
    ),
  ),
  guest: v.pipe(
    path(guestExpected, /^(?:~|\/root)\//),
    v.description("What it is called in the VM. It belongs to root, and replaces what has that name."),
  ),
  mode: v.optional(
    v.pipe(
      v.string(modeExpected),
      v.regex(/^0?[0-7]{3}$/, modeExpected),
      v.transform((text) => Number.parseInt(text, 8)),
      v.description("Permissions of a file. What is in a directory keeps its own."),
    ),
    "0600",
  ),
};

/** Of each table. */
export const fileSyncEntry = v.strictObject(keys);
/** One thing that is copied into each VM that starts; `mode` is a number. */
export type FileSync = v.InferOutput<typeof fileSyncEntry>;

export const fileSyncTables = v.pipe(
  v.array(fileSyncEntry, "tables: [[file_sync]]"),
  v.maxLength(64, "at most 64 tables"),
  v.description("Files and directories of this host that each VM gets at its start; see below."),
);

/** What the docs say of each key. */
export const fileSyncTexts = [
  { key: "host", schema: keys.host, otherwise: "none, it has to be given" },
  { key: "guest", schema: keys.guest, otherwise: "none, it has to be given" },
  { key: "mode", schema: keys.mode.wrapped, otherwise: '`"0600"`' },
];
