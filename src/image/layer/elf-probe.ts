// Learns from the first program in an image which processors it is for.
import type { ContentSink, TarEntry } from "../tar/reader.ts";

const machines: Record<number, string> = { 62: "amd64", 183: "arm64", 3: "i386", 40: "arm", 243: "riscv64" };

export class ElfProbe {
  architecture: string | undefined;

  /** Passes a file's content on to `sink`, and looks at its beginning when it may be a program. */
  watch(entry: TarEntry, sink: ContentSink): ContentSink {
    if (this.architecture !== undefined || (entry.mode & 0o111) === 0) return sink;
    let isFirst = true;
    return {
      write: (piece) => {
        if (isFirst) this.architecture ??= machineOf(piece);
        isFirst = false;
        sink.write(piece);
      },
      skip: (bytes) => {
        isFirst = false;
        sink.skip(bytes);
      },
    };
  }
}

function machineOf(head: Buffer): string | undefined {
  if (head.length < 20 || head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  return machines[head.readUInt16LE(18)];
}
