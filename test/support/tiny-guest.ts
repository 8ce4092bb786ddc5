// A kernel for tests that start VMMs by themselves, and initramfs files whose /init is a few machine instructions: no image,
// no agent, no compiler.
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cpioArchive } from "../../src/kernel/cpio.ts";
import { seedHome } from "./seed.ts";

/** Path of a kernel: BANGER_TEST_KERNEL when it is set, else the one of the seed home. */
export function testKernel(): string {
  const given = process.env["BANGER_TEST_KERNEL"];
  if (given !== undefined && given !== "") return given;
  const kernels = join(seedHome, "state/kernels");
  const found = (existsSync(kernels) ? readdirSync(kernels) : [])
    .map((id) => join(kernels, id, "kernel"))
    .find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(`no kernel below ${kernels}: run node test/support/seed.ts, or set BANGER_TEST_KERNEL`);
  }
  return found;
}

/** What the guest does as soon as its kernel is up. Without an init the kernel panics. */
export type TinyInit = "wait" | "count" | "power-off" | "none";

const programs: Record<Exclude<TinyInit, "none">, string> = {
  // again: pause(); goto again
  wait: "b822000000 0f05 ebf7",
  // again: eight decimal digits in memory += 1; write(1, digits and line feed, 9); nanosleep(2 ms); goto again
  count: `488d3d50000000 fe07 803f3a 7508 c60730 48ffcf ebf1
    b801000000 bf01000000 488d3529000000 ba09000000 0f05
    b823000000 488d3d06000000 31f6 0f05 ebc0
    0000000000000000 80841e0000000000 3030303030303030 0a`,
  // reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF)
  "power-off": "b8a9000000 bfaddee1fe be69191228 badcfe2143 0f05",
};

/** Writes an initramfs for x86-64. */
export function writeTinyInitramfs(path: string, init: TinyInit): void {
  const entries =
    init === "none"
      ? []
      : [{ name: "init", type: "file" as const, mode: 0o755, data: program(Buffer.from(hex(programs[init]), "hex")) }];
  writeFileSync(path, Buffer.concat(cpioArchive(entries)));
}

const hex = (text: string) => text.replaceAll(/\s/g, "");

/** The smallest ELF file that Linux runs: one header, one segment that is loaded whole, code right behind. */
function program(code: Buffer): Buffer {
  const base = 0x400000n;
  const headers = Buffer.alloc(64 + 56);
  headers.set(Buffer.from("7f454c46020101", "hex"));
  headers.writeUInt16LE(2, 16); // executable
  headers.writeUInt16LE(62, 18); // x86-64
  headers.writeUInt32LE(1, 20);
  headers.writeBigUInt64LE(base + BigInt(headers.length), 24); // entry
  headers.writeBigUInt64LE(64n, 32); // program headers
  headers.writeUInt16LE(64, 52);
  headers.writeUInt16LE(56, 54);
  headers.writeUInt16LE(1, 56);
  headers.writeUInt32LE(1, 64); // PT_LOAD
  headers.writeUInt32LE(7, 68); // readable, writable, executable
  headers.writeBigUInt64LE(base, 80);
  headers.writeBigUInt64LE(base, 88);
  const sizeBytes = BigInt(headers.length + code.length);
  headers.writeBigUInt64LE(sizeBytes, 96);
  headers.writeBigUInt64LE(sizeBytes, 104);
  headers.writeBigUInt64LE(0x1000n, 112);
  return Buffer.concat([headers, code]);
}
