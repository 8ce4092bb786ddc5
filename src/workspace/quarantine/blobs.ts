// Writes the content of many blobs to files with one run of git.
import { open, symlink, type FileHandle } from "node:fs/promises";
import { Writable } from "node:stream";
import { BangerError } from "../../lib/errors.ts";
import { refused } from "./changes.ts";
import type { Quarantine } from "./quarantine.ts";

export interface WantedBlob {
  id: string;
  /** Made new: nothing may lie there. */
  file: string;
  /** Make a symbolic link whose target is the content. */
  link: boolean;
}

/** Longest target of a link that Linux takes. */
const maxTargetBytes = 4095;

/** The caller removes the files when it fails. */
export async function writeBlobs(
  { git }: Quarantine,
  wanted: readonly WantedBlob[],
  signal: AbortSignal,
): Promise<void> {
  if (wanted.length === 0) return;
  const writer = new BlobWriter(wanted);
  try {
    const input = wanted.map(({ id }) => `${id}\n`).join("");
    const ended = new Promise<void>((resolve, reject) => void writer.on("finish", resolve).on("error", reject));
    await Promise.all([git(["cat-file", "--batch", "--buffer"], { input, output: writer, signal }), ended]);
    if (writer.left > 0) throw new BangerError("workspace.failed", `git gave ${writer.left} files too few`);
  } finally {
    await writer.close();
  }
}

/** Takes the output of `git cat-file --batch`: "<id> blob <size>\n<content>\n" for each. */
class BlobWriter extends Writable {
  readonly #wanted: readonly WantedBlob[];
  #at = 0;
  /** The head of the next blob, as far as it came. */
  #head = "";
  #file: FileHandle | undefined;
  #target: Buffer[] = [];
  /** Bytes of the present blob that have not come, its newline included; undefined between two. */
  #missing: number | undefined;

  constructor(wanted: readonly WantedBlob[]) {
    super({ highWaterMark: 1024 * 1024 });
    this.#wanted = wanted;
  }

  get left(): number {
    return this.#wanted.length - this.#at;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#take(chunk).then(() => done(), done);
  }

  async #take(chunk: Buffer): Promise<void> {
    for (let rest = chunk; rest.length > 0;) {
      if (this.#missing === undefined) {
        const end = rest.indexOf(newline);
        this.#head += rest.toString("latin1", 0, end === -1 ? rest.length : end);
        if (end === -1) return;
        rest = rest.subarray(end + 1);
        await this.#begin();
        continue;
      }
      const piece = rest.subarray(0, this.#missing);
      rest = rest.subarray(piece.length);
      this.#missing -= piece.length;
      await this.#put(this.#missing === 0 ? piece.subarray(0, -1) : piece);
      if (this.#missing === 0) await this.#end();
    }
  }

  async #begin(): Promise<void> {
    const wanted = this.#wanted[this.#at];
    const [id, kind, size] = this.#head.split(" ");
    this.#head = "";
    if (wanted === undefined || id !== wanted.id || kind !== "blob") {
      throw refused(`the content "${wanted?.id ?? id}" of a file is missing`);
    }
    this.#missing = Number(size) + 1;
    this.#target = [];
    if (!wanted.link) this.#file = await open(wanted.file, "wx", 0o600);
    else if (Number(size) > maxTargetBytes || Number(size) === 0) {
      throw refused(`the target of a link has ${size} bytes`);
    }
  }

  async #put(bytes: Buffer): Promise<void> {
    if (this.#file === undefined) this.#target.push(Buffer.from(bytes));
    else if (bytes.length > 0) await this.#file.writeFile(bytes);
  }

  async #end(): Promise<void> {
    const wanted = this.#wanted[this.#at];
    if (wanted?.link === true) {
      const target = Buffer.concat(this.#target);
      if (target.includes(0)) throw refused("the target of a link has a NUL in it");
      await symlink(target, wanted.file);
    }
    await this.close();
    this.#missing = undefined;
    this.#at += 1;
  }
}

const newline = "\n".charCodeAt(0);
