// Downloads of blobs into the cache, shared by all who want the same blob: each may read it while it still arrives.
import type { FileHandle } from "node:fs/promises";
import { BangerError } from "../../lib/errors.ts";
import type { BlobStore } from "./blob-store.ts";
import { type BlobFile, wholeBlob } from "../layer/blob-file.ts";
import { SharedCount } from "../../lib/shared-count.ts";
import { invalid } from "./manifest.ts";
import type { BlobSaver, Descriptor } from "../../lib/oci-content.ts";

/** A blob that is being fetched, or is there. Dispose it when nothing is read from it any more: the last one out stops the download. */
export interface BlobHandle extends Disposable {
  /** The file that it is or arrives in, for another thread to read while this handle is not disposed. */
  file(): Promise<BlobFile>;
  /** Settles when all of it is in the cache, or failed. */
  readonly done: Promise<void>;
  /** Bytes that are there. */
  readonly bytes: number;
  /** It was there before it was asked for. */
  readonly cached: boolean;
}

export class BlobFetches {
  readonly #store: BlobStore;
  readonly #running = new Map<string, Fetch>();

  constructor(store: BlobStore) {
    this.#store = store;
  }

  /** The caller has a lease on the blob. `onBytes` is called as it grows. */
  async get(descriptor: Descriptor, source: BlobSaver, label: string, onBytes: () => void): Promise<BlobHandle> {
    const before = this.#running.get(descriptor.digest);
    if (before?.stopped.aborted === true) await before.done.catch(() => {});
    const running = this.#running.get(descriptor.digest);
    if (running !== undefined && !running.stopped.aborted) return running.join(onBytes);
    const cached = await this.#store.openBlob(descriptor.digest);
    if (cached !== undefined) return this.#cached(cached, descriptor);
    // Somebody else may have begun meanwhile.
    const other = this.#running.get(descriptor.digest);
    if (other !== undefined && !other.stopped.aborted) return other.join(onBytes);
    const fetch = new Fetch(this.#store, descriptor, source, label);
    this.#running.set(descriptor.digest, fetch);
    const forget = () => {
      if (this.#running.get(descriptor.digest) === fetch) this.#running.delete(descriptor.digest);
    };
    fetch.done.then(forget, forget);
    return fetch.join(onBytes);
  }

  /** Read again in full, so its digest is checked again: disks forget. */
  #cached(file: FileHandle, descriptor: Descriptor): BlobHandle {
    return {
      bytes: descriptor.sizeBytes,
      cached: true,
      done: Promise.resolve(),
      file: async () => {
        const { size: sizeBytes } = await file.stat();
        const whole = { fd: file.fd, offset: 0, sizeBytes, async [Symbol.asyncDispose]() {} };
        return wholeBlob(whole, descriptor, () => void this.#store.remove(descriptor.digest));
      },
      [Symbol.dispose]: () => void file.close().catch(() => {}),
    };
  }
}

class Fetch {
  readonly done: Promise<void>;
  readonly #store: BlobStore;
  readonly #descriptor: Descriptor;
  readonly #source: BlobSaver;
  readonly #label: string;
  readonly #stop = new AbortController();
  readonly #users = new Set<() => void>();
  readonly #opened = Promise.withResolvers<FileHandle>();
  #file: FileHandle | undefined;
  /** Bytes written. */
  #written = new SharedCount();
  /** Bytes that may be read: what an earlier download left is not shown before all of it was checked. */
  readonly #visible = new SharedCount();

  constructor(store: BlobStore, descriptor: Descriptor, source: BlobSaver, label: string) {
    this.#store = store;
    this.#descriptor = descriptor;
    this.#source = source;
    this.#label = label;
    this.done = this.#run();
    this.done.catch((error: unknown) => this.#opened.reject(error));
    this.#opened.promise.catch(() => {});
  }

  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  join(onBytes: () => void): BlobHandle {
    const user = () => onBytes();
    this.#users.add(user);
    const bytes = () => this.#written.value;
    return {
      done: this.done,
      cached: false,
      get bytes() {
        return bytes();
      },
      file: async () => ({
        fd: (await this.#opened.promise).fd,
        offset: 0,
        sizeBytes: this.#descriptor.sizeBytes,
        check: undefined,
        count: this.#visible,
        done: this.done,
        damaged: () => {},
        async [Symbol.asyncDispose]() {},
      }),
      [Symbol.dispose]: () => {
        if (!this.#users.delete(user) || this.#users.size > 0) return;
        this.#stop.abort(new BangerError("cancelled", `nobody wants ${this.#label} any more`));
        const close = () => void this.#file?.close().catch(() => {});
        this.done.then(close, close);
      },
    };
  }

  async #run(): Promise<void> {
    try {
      this.#file = await this.#store.openPartial(this.#descriptor.digest);
      this.#opened.resolve(this.#file);
      const { size } = await this.#file.stat();
      const resumed = size > 0 && size <= this.#descriptor.sizeBytes;
      if (!(resumed && (await this.#download(this.#file, size)))) {
        if (size > 0) await this.#file.truncate(0);
        if (!(await this.#download(this.#file, 0))) {
          await this.#store.remove(this.#descriptor.digest);
          throw invalid(`${this.#label} is damaged: it has not the digest ${this.#descriptor.digest}`);
        }
      }
      await this.#store.publish(this.#descriptor.digest, this.#file);
      this.#visible.value = this.#descriptor.sizeBytes;
    } finally {
      this.#tell();
    }
  }

  /** Fetches what is missing after `have` bytes. False: the whole is not what it should be. */
  async #download(file: FileHandle, have: number): Promise<boolean> {
    const { signal } = this.#stop;
    const { digest } = this.#descriptor;
    this.#written = have === 0 ? this.#visible : new SharedCount();
    this.#written.value = have;
    const saved = await this.#source.save(this.#descriptor, {
      fd: file.fd,
      haveBytes: have,
      label: this.#label,
      count: this.#written,
      onGrowth: () => this.#tell(),
      signal,
    });
    signal.throwIfAborted();
    return digest.endsWith(`:${saved}`);
  }

  #tell(): void {
    for (const user of this.#users) user();
  }
}
