// The memory templates of one home: taken by starts, wanted by boots, made in the background one at a time, pruned.
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Params } from "../../api/method.ts";
import type { Methods } from "../../api/methods.ts";
import type { ImageRecord, KernelRecord, TemplateRecord } from "../../api/records.ts";
import type { Paths } from "../../config/paths.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { removeInside, stagingDirectory } from "../../lib/files.ts";
import { KeyedMutex } from "../../lib/mutex.ts";
import { quietProgress, type Progress } from "../../lib/progress.ts";
import { SharedWork } from "../../lib/shared-work.ts";
import type {
  CaptureTurn,
  FreshRoot,
  TemplateShape,
  Templates as TemplatesOfStarts,
  TemplateUse,
  VmContext,
} from "../context.ts";
import { fingerprintOf, rootFingerprint } from "../fingerprint.ts";
import { resolveSpec } from "../spec.ts";
import { Spares } from "./spares.ts";
import { BackOff } from "./back-off.ts";
import { makeTemplate, placeholderDisks, type MakeParts } from "./make.ts";
import { openTemplateStore, type TemplateStore } from "./store.ts";

export interface TemplatesOptions extends MakeParts, Pick<VmContext, "initramfs"> {
  paths: Pick<Paths, "homeId" | "cacheDir" | "templatesDir">;
  kernels: { list(): KernelRecord[]; resolve(reference: string): KernelRecord };
  images: { list(): ImageRecord[]; resolve(reference: string): ImageRecord };
  /** False: nothing is taken and nothing is made. */
  enabled: boolean;
  /** False: none of an image is taken or made. */
  ofImages: boolean;
  /** Room for all of them. */
  maxBytes: number;
  /** Rest between the start that wants a template and the making of it: what the VM is for comes first. Default 1 s. */
  restMs?: number;
  backOff?: BackOff;
}

/** Images that ran once and of which is remembered that they did. */
const maxWantedOnce = 256;

/** See the file's comment. Made by `openTemplates`; dispose ends what is being made. */
export class Templates implements TemplatesOfStarts, AsyncDisposable {
  readonly #options: TemplatesOptions;
  readonly #store: TemplateStore;
  readonly #backOff: BackOff;
  readonly #spares: Spares;
  readonly #closing = new AbortController();
  /** Made in the background, or about to be, by fingerprint. */
  readonly #wanted = new Map<string, Promise<void>>();
  /** Of images, wanted once: some run a single time. */
  readonly #wantedOnce = new Set<string>();
  readonly #work = new SharedWork<TemplateRecord>();
  readonly #oneAtATime = new KeyedMutex();

  constructor(options: TemplatesOptions, store: TemplateStore) {
    this.#options = options;
    this.#store = store;
    this.#spares = new Spares({ store, maxBytes: options.maxBytes, log: options.log });
    this.#backOff = options.backOff ?? new BackOff();
  }

  take(fingerprint: string): TemplateUse | undefined {
    const { enabled, ofImages } = this.#options;
    const use = enabled ? this.#store.take(fingerprint) : undefined;
    if (use?.disks === undefined || ofImages) return use;
    use[Symbol.dispose]();
    return undefined;
  }

  want(shape: TemplateShape): void {
    const { enabled } = this.#options;
    const { fingerprint } = shape;
    if (!enabled || this.#closing.signal.aborted || this.#wanted.has(fingerprint)) return;
    if (this.#store.get(fingerprint) !== undefined || this.#backOff.holds(fingerprint)) return;
    if (shape.root !== undefined && !this.#isWantedAgain(fingerprint)) return;
    const made = this.#makeInBackground(shape).finally(() => this.#wanted.delete(fingerprint));
    this.#wanted.set(fingerprint, made);
  }

  capturing(): CaptureTurn {
    return this.#spares.capturing();
  }

  async discard(id: string, reason: unknown): Promise<void> {
    const { code } = toBangerError(reason);
    const waitMs = this.#backOff.failed(id);
    this.#options.log.info("memory template discarded", { template: id, code, madeAnewAfterMs: waitMs });
    await this.#store.remove(id);
  }

  /** Last used first. */
  list(): TemplateRecord[] {
    return this.#store.list();
  }

  /** By id or unambiguous prefix. Throws `template.not-found`. */
  show(reference: string): TemplateRecord {
    const found = reference === "" ? [] : this.list().filter(({ id }) => id.startsWith(reference));
    const [only] = found;
    if (only !== undefined && found.length === 1) return only;
    throw new BangerError(
      "template.not-found",
      found.length > 1 ? `"${reference}" means more than one template` : `there is no template "${reference}"`,
      { hint: "banger template list" },
    );
  }

  /** Removes those that no start can use any more (another VMM, kernel or agent), with `all` every one. */
  async prune({ all, dryRun }: { all: boolean; dryRun: boolean }) {
    const judged = await Promise.all(
      this.list().map(async (template) => ({ template, gone: all || !(await this.#isOfUse(template)) })),
    );
    const templates = judged.flatMap(({ template, gone }) => (gone ? [template] : []));
    if (!dryRun) await Promise.all(templates.map(({ id }) => this.#store.remove(id)));
    return { templates, freedBytes: templates.reduce((sum, { usedBytes }) => sum + usedBytes, 0) };
  }

  /** The template for VMs of this shape, made now unless it is there. Throws `template.failed` when templates are switched off. */
  async warm(request: Params<Methods["template.warm"]>, progress: Progress): Promise<TemplateRecord> {
    const { enabled, images, kernels, ofImages, settings } = this.#options;
    if (!enabled) {
      throw new BangerError("template.failed", "templates are switched off (templates.enabled)", {
        hint: "banger config show",
      });
    }
    const { image: reference, kernel: kernelReference, ...sizes } = request;
    const kernel = kernels.resolve(kernelReference ?? settings.defaultKernel);
    const spec = resolveSpec(sizes, settings.vmDefaults, { help: "banger template warm --help" });
    const image = reference === undefined ? undefined : images.resolve(reference);
    const shape = await this.#shapeOf(kernel, spec.vcpus, spec.memoryMib, progress.signal);
    const shared = await this.#make(shape, progress, false);
    if (image === undefined) return shared;
    if (!ofImages) {
      throw new BangerError("template.failed", "templates of images are switched off (templates.images)", {
        hint: "banger config show",
      });
    }
    return await this.#make(await withRoot(shape, { image, ...spec }), progress, false);
  }

  /** Removes the templates of kernels and images that are gone: for after a change of those. */
  async forgetRemoved(): Promise<void> {
    const known = knownTo(this.#options);
    const gone = this.list().filter((template) => !known(template));
    await Promise.all(gone.map(({ id }) => this.#store.remove(id)));
  }

  #isWantedAgain(fingerprint: string): boolean {
    if (!this.#options.ofImages) return false;
    if (this.#wantedOnce.delete(fingerprint)) return true;
    this.#wantedOnce.add(fingerprint);
    const [first] = this.#wantedOnce;
    if (this.#wantedOnce.size > maxWantedOnce && first !== undefined) this.#wantedOnce.delete(first);
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new BangerError("daemon.shutting-down", "the daemon is stopping"));
    await Promise.all([this.#spares[Symbol.asyncDispose](), ...this.#wanted.values()]);
  }

  /** Never rejects. */
  async #makeInBackground(shape: TemplateShape): Promise<void> {
    const { log, restMs = 1000 } = this.#options;
    const { signal } = this.#closing;
    const { fingerprint } = shape;
    try {
      await delay(restMs, undefined, { signal });
      const started = performance.now();
      const { usedBytes } = await this.#make(shape, quietProgress(signal), true);
      const durationMs = Math.round(performance.now() - started);
      log.info("memory template made", { template: fingerprint, usedBytes, durationMs });
    } catch (error) {
      if (signal.aborted) return;
      const waitMs = this.#backOff.failed(fingerprint);
      log.warn("a memory template could not be made", { template: fingerprint, triedAgainAfterMs: waitMs, error });
    }
  }

  /** Whoever wants the same at the same time gets the same. */
  #make(shape: TemplateShape, progress: Progress, background: boolean): Promise<TemplateRecord> {
    const { maxBytes, paths } = this.#options;
    const { fingerprint, kernel, root } = shape;
    return this.#work.run(fingerprint, progress, async (inner) => {
      using _one = await this.#oneAtATime.acquire("making", inner.signal);
      const there = this.#store.get(fingerprint);
      if (there !== undefined) return there;
      await using staging = await stagingDirectory(paths.templatesDir);
      await this.#makeIn(staging.path, shape, { progress: inner, background });
      const made = await this.#store.add(staging.path, fingerprint, maxBytes);
      // Removed while it was made: who removed it has not seen it.
      if (!knownTo(this.#options)({ kernel, root: root ?? null })) {
        await this.#store.remove(fingerprint);
        throw new BangerError("template.failed", `the kernel "${kernel.name}" or its image was removed`);
      }
      await this.#removeOlder(made);
      return made;
    });
  }

  async #makeIn(
    staging: string,
    shape: TemplateShape,
    options: { progress: Progress; background: boolean },
  ): Promise<void> {
    const capturing = () => this.capturing();
    const make = async (shared?: TemplateUse) => {
      using _shared = shared;
      await makeTemplate(this.#options, shape, staging, { ...options, shared, capturing });
    };
    const shared = shape.root === undefined ? undefined : this.#store.take(shape.root.shape);
    try {
      await make(shared);
    } catch (error) {
      // As a start does: it boots instead.
      if (shared === undefined || toBangerError(error).code !== "snapshot.incompatible") throw error;
      await this.discard(shared.id, error);
      await removeInside(staging, join(staging, "machine"));
      await make();
    }
  }

  /** The same kernel, sizes and image with another agent or VMM: those were replaced by what this one was made with. */
  async #removeOlder(made: TemplateRecord): Promise<void> {
    for (const other of this.list()) {
      if (other.id === made.id || other.kernel.id !== made.kernel.id) continue;
      if (other.vcpus !== made.vcpus || other.memoryMib !== made.memoryMib) continue;
      if (!isDeepStrictEqual(other.root, made.root)) continue;
      await this.#store.remove(other.id);
    }
  }

  async #isOfUse({ id, kernel, vcpus, memoryMib, root }: TemplateRecord): Promise<boolean> {
    const { images, kernels, ofImages } = this.#options;
    const present = kernels.list().find((one) => one.id === kernel.id);
    if (present === undefined) return false;
    const shape = await this.#shapeOf(present, vcpus, memoryMib, this.#closing.signal);
    if (root === null) return shape.fingerprint === id;
    const image = images.list().find((one) => one.id === root.image.id);
    if (image === undefined || !ofImages) return false;
    // The file of a registered image may be gone.
    return await withRoot(shape, { ...root, image }).then(
      ({ fingerprint }) => fingerprint === id,
      () => false,
    );
  }

  async #shapeOf(kernel: KernelRecord, vcpus: number, memoryMib: number, signal: AbortSignal): Promise<TemplateShape> {
    const { driver, initramfs, paths } = this.#options;
    const initrd = await initramfs(kernel, { signal });
    const spec = { initrd, vcpus, memoryMib, disks: placeholderDisks(paths.templatesDir) };
    return { fingerprint: await fingerprintOf(driver, spec, { signal }), kernel, initrd, vcpus, memoryMib };
  }
}

/** What a VM of the shape can start from before it has ever started. Throws when the image's file is gone. */
export async function withRoot(shape: TemplateShape, root: FreshRoot): Promise<TemplateShape> {
  const { image, overlayBytes, diskBytes } = root;
  return {
    ...shape,
    fingerprint: await rootFingerprint(shape.fingerprint, root),
    root: { image, overlayBytes, diskBytes, shape: shape.fingerprint },
  };
}

/** Tells templates whose kernel, and whose image, are there. */
function knownTo({ images, kernels }: Pick<TemplatesOptions, "images" | "kernels">) {
  const ids = new Set([...kernels.list(), ...images.list()].map(({ id }) => id));
  return ({ kernel, root }: { kernel: { id: string }; root: { image: { id: string } } | null }) =>
    ids.has(kernel.id) && (root === null || ids.has(root.image.id));
}

/** Opens the store, without what a dead daemon left half made and without the templates of kernels and images that are gone. */
export async function openTemplates(options: TemplatesOptions): Promise<Templates> {
  const known = knownTo(options);
  const store = await openTemplateStore({
    directory: options.paths.templatesDir,
    keep: ({ manifest }) => known(manifest),
    log: options.log,
  });
  // The bound may have been another one when they were made.
  await store.makeRoom(options.maxBytes);
  return new Templates(options, store);
}
