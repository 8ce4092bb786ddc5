// Where guest memory is, out of what the kernel and QEMU say.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspectRam, mappedFile, parseHostAddress, parseMaps } from "./guest-ram.ts";

const start = 0x7f0000000000;
const size = 0x10000;
const line = (from: number, to: number, rest: string) =>
  `${(start + from).toString(16)}-${(start + to).toString(16)} ${rest}`;
const file = (lines: string[]) => mappedFile(parseMaps(lines.join("\n")), start, size);

test("memory of a file, in one mapping or in several next to each other", () => {
  assert.equal(file([line(0, size, "rw-p 00000000 fe:00 12    /m e/mory")]), "/m e/mory");
  assert.equal(
    file([
      line(-0x1000, 0, "rw-p 00000000 00:00 0 "),
      line(0, 0x4000, "rw-p 00000000 fe:00 12    /memory (deleted)"),
      line(0x4000, size, "rw-p 00004000 fe:00 12    /memory (deleted)"),
      line(size, size + 0x1000, "---p 00000000 00:00 0 "),
    ]),
    "/memory",
  );
});

test("a file is the same before and after it was unlinked, at whatever moment it is looked at", () => {
  assert.equal(
    file([
      line(0, 0x4000, "rw-p 00000000 fe:00 12    /memory"),
      line(0x4000, size, "rw-p 00004000 fe:00 12    /memory (deleted)"),
    ]),
    "/memory",
  );
});

test("anonymous memory, also inside of a larger mapping", () => {
  assert.equal(file([line(0, size, "rw-p 00000000 00:00 0 ")]), "");
  assert.equal(file([line(-0x2000, size + 0x1000, "rw-p 00000000 00:00 0 ")]), "");
});

test("anything else is no guest memory", () => {
  for (const lines of [
    [],
    [line(0, 0x8000, "rw-p 00000000 00:00 0 ")],
    [line(0, 0x4000, "rw-p 00000000 00:00 0 "), line(0x8000, size, "rw-p 00000000 00:00 0 ")],
    [line(0, size, "r--p 00000000 00:00 0 ")],
    [line(0, size, "rw-s 00000000 fe:00 12    /memory")],
    [line(0, size, "rw-p 00001000 fe:00 12    /memory")],
    [line(0, 0x8000, "rw-p 00000000 fe:00 12    /memory"), line(0x8000, size, "rw-p 00008000 fe:00 13    /other")],
    [line(0, 0x8000, "rw-p 00000000 fe:00 12    /memory"), line(0x8000, size, "rw-p 00000000 00:00 0 ")],
  ]) {
    assert.equal(file(lines), undefined, lines.join("; "));
  }
});

test("QEMU's words for an address", () => {
  assert.equal(parseHostAddress("Host virtual address for 0x0 (ram) is 0x7f68b3e00000\r\n", "ram"), 0x7f68b3e00000);
  for (const wrong of [
    "Host virtual address for 0x0 (pc.bios) is 0x7f68b3e00000",
    "Host virtual address for 0x0 (ram) is 0xfffffffffffffffff",
    "No memory is mapped at address 0x0",
    "",
  ]) {
    assert.equal(parseHostAddress(wrong, "ram"), undefined, wrong);
  }
});

test("memory that is not where it should be is not captured", async () => {
  await assert.rejects(inspectRam(process.pid, 4096, 4096), { code: "snapshot.failed" });
});
