// The memory templates of one home: taken by starts, wanted by boots, made in the background one at a time, pruned.
import { setTimeout as delay } from "node:timers/promises";
import type { KernelRecord, TemplateRecord } from "../../api/records.ts";
import type { Paths } from "../../config/paths.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { stagingDirectory } from "../../lib/files.ts";
import { KeyedMutex } from "../../lib/mutex.ts";
import { quietProgress, type Progress } from "../../lib/progress.ts";
import { SharedWork } from "../../lib/shared-work.ts";
import type { CaptureTurn, TemplateShape, Templates as TemplatesOfStarts, TemplateUse, VmContext } from "../context.ts";
import { fingerprintOf } from "../fingerprint.ts";
import { resolveSpec } from "../spec.ts";
import { Spares } from "./spares.ts";
import { BackOff } from "./back-off.ts";
import { makeTemplate, placeholderDisks, type MakeParts } from "./make.ts";
import { openTemplateStore, type TemplateStore } from "./store.ts";

export interface TemplatesOptions extends MakeParts, Pick<VmContext, "initramfs"> {
  paths: Pick<Paths, "homeId" | "templatesDir">;
  kernels: { list(): KernelRecord[]; resolve(reference: string): KernelRecord };
  /** False: nothing is taken and nothing is made. */
  enabled: boolean;
  /** Room for all of them. */
  maxBytes: number;
  /** Rest between the start that wants a template and the making of it: what the VM is for comes first. Default 1 s. */
  restMs?: number;
  backOff?: BackOff;
}

/** See the file's comment. Made by `openTemplates`; dispose ends what is being made. */
export class Templates implements TemplatesOfStarts, AsyncDisposable {
  readonly #options: TemplatesOptions;
  readonly #store: TemplateStore;
  readonly #backOff: BackOff;
  readonly #spares: Spares;
  readonly #closing = new AbortController();
  /** Made in the background, or about to be, by fingerprint. */
  readonly #wanted = new Map<string, Promise<void>>();
  readonly #work = new SharedWork<TemplateRecord>();
  readonly #oneAtATime = new KeyedMutex();

  constructor(options: TemplatesOptions, store: TemplateStore) {
    this.#options = options;
    this.#store = store;
    this.#spares = new Spares({ store, maxBytes: options.maxBytes, log: options.log });
    this.#backOff = options.backOff ?? new BackOff();
  }

  take(fingerprint: string): TemplateUse | undefined {
    return this.#options.enabled ? this.#store.take(fingerprint) : undefined;
  }

  want(shape: TemplateShape): void {
    const { enabled } = this.#options;
    const { fingerprint } = shape;
    if (!enabled || this.#closing.signal.aborted || this.#wanted.has(fingerprint)) return;
    if (this.#store.get(fingerprint) !== undefined || this.#backOff.holds(fingerprint)) return;
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
  async warm(
    request: { kernel?: string | undefined; vcpus?: number | undefined; memoryMib?: number | undefined },
    progress: Progress,
  ): Promise<TemplateRecord> {
    const { enabled, kernels, settings } = this.#options;
    if (!enabled) {
      throw new BangerError("template.failed", "templates are switched off (templates.enabled)", {
        hint: "banger config show",
      });
    }
    const kernel = kernels.resolve(request.kernel ?? settings.defaultKernel);
    const { vcpus, memoryMib } = resolveSpec(request, settings.vmDefaults, { help: "banger template warm --help" });
    const shape = await this.#shapeOf(kernel, vcpus, memoryMib, progress.signal);
    return await this.#make(shape, progress, false);
  }

  /** Removes the templates of kernels that are gone: for after a change of the kernels. */
  async forgetKernels(): Promise<void> {
    const known = new Set(this.#options.kernels.list().map(({ id }) => id));
    const gone = this.list().filter(({ kernel }) => !known.has(kernel.id));
    await Promise.all(gone.map(({ id }) => this.#store.remove(id)));
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
    const { kernels, maxBytes, paths } = this.#options;
    const { fingerprint, kernel } = shape;
    return this.#work.run(fingerprint, progress, async (inner) => {
      using _one = await this.#oneAtATime.acquire("making", inner.signal);
      const there = this.#store.get(fingerprint);
      if (there !== undefined) return there;
      await using staging = await stagingDirectory(paths.templatesDir);
      await makeTemplate(this.#options, shape, staging.path, { progress: inner, background });
      if (!kernels.list().some(({ id }) => id === kernel.id)) {
        throw new BangerError("template.failed", `the kernel "${kernel.name}" was removed`);
      }
      const made = await this.#store.add(staging.path, fingerprint, maxBytes);
      await this.#removeOlder(made);
      return made;
    });
  }

  /** The same kernel and size with another agent or VMM: those were replaced by what this one was made with. */
  async #removeOlder(made: TemplateRecord): Promise<void> {
    for (const other of this.list()) {
      if (other.id === made.id || other.kernel.id !== made.kernel.id) continue;
      if (other.vcpus !== made.vcpus || other.memoryMib !== made.memoryMib) continue;
      await this.#store.remove(other.id);
    }
  }

  async #isOfUse({ id, kernel, vcpus, memoryMib }: TemplateRecord): Promise<boolean> {
    const present = this.#options.kernels.list().find((one) => one.id === kernel.id);
    if (present === undefined) return false;
    return (await this.#shapeOf(present, vcpus, memoryMib, this.#closing.signal)).fingerprint === id;
  }

  async #shapeOf(kernel: KernelRecord, vcpus: number, memoryMib: number, signal: AbortSignal): Promise<TemplateShape> {
    const { driver, initramfs, paths } = this.#options;
    const initrd = await initramfs(kernel, { signal });
    const spec = { initrd, vcpus, memoryMib, disks: placeholderDisks(paths.templatesDir) };
    return { fingerprint: await fingerprintOf(driver, spec, { signal }), kernel, initrd, vcpus, memoryMib };
  }
}

/** Opens the store, without what a dead daemon left half made and without the templates of kernels that are gone. */
export async function openTemplates(options: TemplatesOptions): Promise<Templates> {
  const kernels = new Set(options.kernels.list().map(({ id }) => id));
  const store = await openTemplateStore({
    directory: options.paths.templatesDir,
    keep: ({ manifest }) => kernels.has(manifest.kernel.id),
    log: options.log,
  });
  // The bound may have been another one when they were made.
  await store.makeRoom(options.maxBytes);
  return new Templates(options, store);
}
