// Takes the head off a guest's answer: some lines of text, then the pack.
import { Transform, type TransformCallback } from "node:stream";
import { refused } from "../quarantine/changes.ts";
import { guestGreeting } from "./guest-script.ts";

export interface GuestHeader {
  /** Commit that the guest is on; undefined before its first one. */
  head: string | undefined;
  /** The base that was asked for, resolved. */
  base: string | undefined;
  /** Tree of the work tree's files. */
  tree: string;
  /** Branch that the guest is on, when its name is a plain one. */
  branch: string | undefined;
}

/** Bytes that a head may have: four ids and the name of a branch. */
const maxHeaderBytes = 4096;

/** Passes on what follows the head. Fails with `workspace.refused` when there is none, or with more than `maxBytes` behind it. */
export class GuestAnswer extends Transform {
  /** Resolves before the first byte behind the head is passed on; rejects when the stream ends or fails before. */
  readonly header: Promise<GuestHeader>;
  readonly #headed = Promise.withResolvers<GuestHeader>();
  readonly #maxBytes: number;
  #pending: Buffer | undefined = Buffer.alloc(0);
  #passed = 0;

  constructor(maxBytes: number) {
    super({ highWaterMark: 256 * 1024 });
    this.#maxBytes = maxBytes;
    this.header = this.#headed.promise;
    this.header.catch(() => {});
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#pending === undefined) return this.#pass(chunk, done);
    const pending = Buffer.concat([this.#pending, chunk]);
    const end = pending.indexOf("\n\n");
    if (end === -1 || end > maxHeaderBytes) {
      this.#pending = pending;
      done(pending.length > maxHeaderBytes ? refused("its answer has no head") : null);
      return;
    }
    const header = parseHeader(pending.toString("latin1", 0, end));
    if (header === undefined) {
      done(refused("the head of its answer is not what it should be"));
      return;
    }
    this.#pending = undefined;
    this.#headed.resolve(header);
    this.#pass(pending.subarray(end + 2), done);
  }

  override _flush(done: TransformCallback): void {
    done(this.#pending === undefined ? null : refused("its answer ends before the head does"));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#headed.reject(error ?? refused("its answer was cut short"));
    done(error);
  }

  #pass(bytes: Buffer, done: TransformCallback): void {
    this.#passed += bytes.length;
    // git stops at the same size; here also one that reads slowly does.
    if (this.#passed > this.#maxBytes) done(refused("it is larger than what is taken of a guest"));
    else done(null, bytes);
  }
}

function parseHeader(text: string): GuestHeader | undefined {
  const [greeting, ...lines] = text.split("\n");
  const fields = new Map(
    lines.map((line) => {
      const space = line.indexOf(" ");
      return [line.slice(0, space), line.slice(space + 1)] as const;
    }),
  );
  const [head, base, tree, branch] = ["head", "base", "tree", "branch"].map((name) => fields.get(name) ?? "");
  if (greeting !== guestGreeting || fields.size !== 4) return undefined;
  if (!isId(tree) || (head !== "" && !isId(head)) || (base !== "" && !isId(base))) return undefined;
  return {
    head: head === "" ? undefined : head,
    base: base === "" ? undefined : base,
    tree,
    branch: branch !== undefined && /^[\w][\w./-]{0,200}$/.test(branch) ? branch : undefined,
  };
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}
