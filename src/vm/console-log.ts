// The end of a guest's console for error texts: bounded, and with nothing in it that could steer a terminal.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

const maxBytes = 8 * 1024;
const maxLines = 15;

/** Last lines of the log, without control characters; empty when there is none. */
export function consoleTail(file: string): string {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, maxBytes));
    const read = readSync(fd, buffer, 0, buffer.length, Math.max(0, size - maxBytes));
    return stripVTControlCharacters(buffer.subarray(0, read).toString("utf8"))
      .split(/\r?\n/)
      .map((line) => line.replaceAll(/[^\P{Cc}\t]/gu, "").trimEnd())
      .filter((line) => line !== "")
      .slice(-maxLines)
      .join("\n");
  } finally {
    closeSync(fd);
  }
}
