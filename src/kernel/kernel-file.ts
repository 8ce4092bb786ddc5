// Tells whether a file is a bootable kernel, and which release it is.
import { constants, open } from "node:fs/promises";
import { BangerError } from "../lib/errors.ts";
import { formatBytes } from "../lib/units.ts";

export interface KernelFile {
  format: "bzImage" | "vmlinux";
  /** Kernel release, e.g. "6.1.0-30-cloud-amd64"; undefined when the file does not tell. */
  release: string | undefined;
  architecture: string;
}

const headBytes = 64 * 1024;

/** Reads the headers of a kernel file. Throws `kernel.invalid` that names the file and what is wrong with it. */
export async function inspectKernelFile(path: string): Promise<KernelFile> {
  // Without this flag, opening a named pipe waits for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
    throw invalid(path, error.code === "ENOENT" ? "no such file" : error.message, error);
  });
  try {
    const info = await file.stat();
    if (!info.isFile()) throw invalid(path, "it is not a regular file");
    const head = Buffer.alloc(Math.min(headBytes, info.size));
    await file.read(head, 0, head.length, 0);
    if (head.length > 0x264 && head.toString("latin1", 0x202, 0x206) === "HdrS") {
      return inspectBzImage(path, head, info.size);
    }
    if (head.length > 64 && head.readUInt32BE(0) === 0x7f454c46) {
      return {
        format: "vmlinux",
        release: await findVersionText(file, info.size),
        architecture: elfMachine(path, head),
      };
    }
    throw invalid(
      path,
      info.size === 0 ? "it is empty" : 'it is no Linux kernel: neither a bzImage ("HdrS" at 0x202) nor an ELF file',
    );
  } finally {
    await file.close();
  }
}

/** The boot protocol's header says how long the setup code and the kernel are, and where the version text lies. */
function inspectBzImage(path: string, head: Buffer, sizeBytes: number): KernelFile {
  const protocol = head.readUInt16LE(0x206);
  if (protocol < 0x0208) throw invalid(path, `its boot protocol 0x${protocol.toString(16)} is too old`);
  const setupSectors = head[0x1f1] === 0 ? 4 : (head[0x1f1] ?? 4);
  const neededBytes = (setupSectors + 1) * 512 + head.readUInt32LE(0x1f4) * 16;
  if (sizeBytes < neededBytes) {
    throw invalid(path, `it is cut short: ${formatBytes(sizeBytes)} of ${formatBytes(neededBytes)}`);
  }
  const versionAt = head.readUInt16LE(0x20e) + 0x200;
  const end = head.indexOf(0, versionAt);
  const text = versionAt === 0x200 || end < 0 ? "" : head.toString("latin1", versionAt, end);
  const release = /^[\w.+~-]+/.exec(text)?.[0];
  if (release === undefined) throw invalid(path, "its header has no version text");
  return { format: "bzImage", release, architecture: "amd64" };
}

function elfMachine(path: string, head: Buffer): string {
  const machine = head.readUInt16LE(18);
  if (machine === 62) return "amd64";
  if (machine === 183) return "arm64";
  throw invalid(path, `it is made for another processor (ELF machine ${machine})`);
}

async function findVersionText(file: Awaited<ReturnType<typeof open>>, sizeBytes: number): Promise<string | undefined> {
  const chunk = Buffer.alloc(4 * 1024 * 1024);
  const overlap = 256;
  for (let position = 0; position < sizeBytes; position += chunk.length - overlap) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    const at = chunk.subarray(0, bytesRead).indexOf("Linux version ");
    const found = at < 0 ? null : /^Linux version (\d[\w.+~-]*)/.exec(chunk.toString("latin1", at, at + overlap));
    if (found !== null) return found[1];
  }
  return undefined;
}

function invalid(path: string, why: string, cause?: unknown): BangerError {
  return new BangerError("kernel.invalid", `"${path}" cannot be used as a kernel: ${why}`, { cause });
}
