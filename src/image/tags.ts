// Further names of images: one small file, name to id. The first name of an image is in the database.
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { crashPoint } from "../lib/crash-point.ts";
import { removeInside, writeFileAtomic } from "../lib/files.ts";
import type { Logger } from "../lib/log.ts";
import { KeyedMutex } from "../lib/mutex.ts";

const neverAborted = new AbortController().signal;
const schema = v.record(v.string(), v.string());

/** Changes are written before they can be seen. */
export class ImageTags {
  readonly #file: string;
  readonly #changes = new KeyedMutex();
  #ids: ReadonlyMap<string, string>;

  private constructor(file: string, ids: ReadonlyMap<string, string>) {
    this.#file = file;
    this.#ids = ids;
  }

  /** Names of images that are not there any more are forgotten; a damaged file is one without names. */
  static async open(file: string, isThere: (id: string) => boolean, log: Logger): Promise<ImageTags> {
    await removeUnfinished(file);
    let entries: [string, string][] = [];
    try {
      entries = Object.entries(v.parse(schema, JSON.parse(await readFile(file, "utf8"))));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") log.warn("the names of images are lost", { file, error });
    }
    return new ImageTags(file, new Map(entries.filter(([, id]) => isThere(id))));
  }

  /** Sorted. */
  of(id: string): string[] {
    return [...this.#ids].flatMap(([name, other]) => (other === id ? [name] : [])).toSorted();
  }

  idOf(name: string): string | undefined {
    return this.#ids.get(name);
  }

  /** Gives `name` to `id`, whoever had it. */
  async set(name: string, id: string): Promise<void> {
    if (this.#ids.get(name) !== id) await this.#change((ids) => [...ids, [name, id]]);
  }

  /** Missing is fine. */
  async remove(name: string): Promise<void> {
    if (this.#ids.has(name)) await this.#change((ids) => [...ids].filter(([other]) => other !== name));
  }

  async forget(id: string): Promise<void> {
    if (this.of(id).length > 0) await this.#change((ids) => [...ids].filter(([, other]) => other !== id));
  }

  /** One after the other, or an earlier one could be the last to be written. */
  async #change(change: (ids: ReadonlyMap<string, string>) => [string, string][]): Promise<void> {
    using _ = await this.#changes.acquire("all", neverAborted);
    const ids = new Map(change(this.#ids));
    await writeFileAtomic(this.#file, `${JSON.stringify(Object.fromEntries(ids), null, 2)}\n`);
    crashPoint("image.names-written");
    this.#ids = ids;
  }
}

/** What a killed process left that was writing the file. */
async function removeUnfinished(file: string): Promise<void> {
  const directory = dirname(file);
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    if (name.startsWith(`${basename(file)}.`) && name.endsWith(".tmp"))
      await removeInside(directory, join(directory, name));
  }
}
