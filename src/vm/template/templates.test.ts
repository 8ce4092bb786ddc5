// When templates are made, and when not: single flight, back-off, room, switches, and the end of the daemon. Machines are made up.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, test } from "node:test";
import type { ImageRecord, KernelRecord } from "../../api/records.ts";
import { makeDisk } from "../../disk/blank.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { BangerError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { quietProgress } from "../../lib/progress.ts";
import { mib } from "../../lib/units.ts";
import { until } from "../../../test/support/until.ts";
import type { Driver, Machine, MachineCapture, MachineSpec } from "../../vmm/driver.ts";
import type { TemplateShape, VmSettings } from "../context.ts";
import { BackOff } from "./back-off.ts";
import { openTemplates, withRoot, type Templates, type TemplatesOptions } from "./templates.ts";

let directory: string;
let templates: Templates;
/** What happened to machines, in order. */
let events: string[];
let warnings: string[];
let background: (boolean | undefined)[];
/** Machines that came from templates. */
let restored: MachineSpec[];
/** No machine comes from a template. */
let refused: boolean;
/** Version of the VMM. */
let version: string;
let nowMs: number;
let kernels: KernelRecord[];
let images: ImageRecord[];
/** Called while a machine is captured. */
let onCapture: (capture: MachineCapture) => Promise<void>;

const driver = {
  name: "qemu",
  features: async () => ({ accelerator: "tcg", snapshots: true }),
  shape: async ({ vcpus, memoryMib }: { vcpus: number; memoryMib: number }) => `${version} ${vcpus} ${memoryMib}`,
  launch: async (spec: { vmId: string; dir: string }, options: { background?: boolean }) => {
    events.push("launch");
    background.push(options.background);
    assert.match(spec.vmId, /^template-[0-9a-f]{12}$/);
    return machine(spec.dir);
  },
  restore: async (spec: MachineSpec, capture: MachineCapture, options: { background?: boolean }) => {
    events.push(`restore ${basename(dirname(capture.memoryFile)).slice(0, 8)}`);
    background.push(options.background);
    restored.push(spec);
    if (refused) throw new BangerError("snapshot.incompatible", "damaged");
    return { machine: machine(spec.dir), timings: { spawnMs: 1, loadMs: 2 } };
  },
} as unknown as Driver;

function machine(dir: string): Machine {
  writeFileSync(join(dir, "console.log"), "");
  return {
    exited: new Promise(() => {}),
    controlChannel: async () => new PassThrough(),
    beginCapture: async (capture: MachineCapture) => ({
      finish: async () => {
        events.push("capture");
        writeFileSync(capture.memoryFile, "memory");
        await onCapture(capture);
        writeFileSync(capture.stateFile, "state");
        return { copiedBytes: 6 };
      },
      async [Symbol.asyncDispose]() {},
    }),
    resume: async () => {},
    pause: async () => void events.push("pause"),
    announceDisks: async () => void events.push("announce disks"),
    kill: async () => void events.push("kill"),
  } as unknown as Machine;
}

const agent = {
  hello: async () => ({ phase: "waiting", failure: "" }),
  assemble: async (root: object) => {
    events.push("assemble");
    assert.deepEqual(root, {
      disks: { base: "base", overlay: "overlay", work: "work" },
      directories: ["/app", "/data"],
    });
    return [];
  },
  [Symbol.asyncDispose]: async () => void events.push("close"),
} as unknown as GuestAgent;

const settings = {
  bootTimeoutMs: 60_000,
  defaultKernel: "debian",
  vmDefaults: { vcpus: 2, memoryMib: 512, diskBytes: 64 * mib, overlayBytes: 64 * mib },
} as VmSettings;

const open = (change: Partial<TemplatesOptions> = {}) =>
  openTemplates({
    paths: { homeId: "0", cacheDir: join(directory, "..", `${basename(directory)}.cache`), templatesDir: directory },
    driver,
    connectGuest: async () => agent,
    settings,
    log: { ...silentLogger, warn: (message) => void warnings.push(message) },
    images: { list: () => images, resolve: () => images[0] ?? assert.fail("no image") },
    ofImages: true,
    kernels: { list: () => kernels, resolve: () => kernels[0] ?? assert.fail("no kernel") },
    initramfs: async (kernel) => `/cache/${kernel.id}.img`,
    enabled: true,
    maxBytes: 1024 * mib,
    restMs: 0,
    backOff: new BackOff(() => nowMs),
    forgetSession: async () => void events.push("forget"),
    ...change,
  });

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "banger-templates-"));
  [events, warnings, background, restored] = [[], [], [], []];
  version = "7.2.22";
  nowMs = 0;
  refused = false;
  images = [];
  kernels = [{ id: "k1", name: "debian", kernelPath: "/k1" } as KernelRecord];
  onCapture = async () => {};
  templates = await open();
});
afterEach(async () => {
  await templates[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
  for (const beside of ["ext4", "cache"]) rmSync(`${directory}.${beside}`, { recursive: true, force: true });
});

const quiet = (signal = new AbortController().signal) => quietProgress(signal);

/** The shape of a VM with so much memory, as a start would give it. */
async function shapeOf(memoryMib: number): Promise<TemplateShape> {
  const { fingerprintOf } = await import("../fingerprint.ts");
  const [kernel] = kernels;
  assert.ok(kernel);
  const spec = { vcpus: 1, memoryMib, initrd: `/cache/${kernel.id}.img`, disks: [] };
  const fingerprint = await fingerprintOf(driver, spec, { signal: new AbortController().signal });
  return { fingerprint, kernel, initrd: spec.initrd, vcpus: 1, memoryMib };
}
const made = (count: number) =>
  until(`${count} templates`, () => (templates.list().length === count ? true : undefined));
const count = (event: string) => events.filter((one) => one === event).length;

test("a template is made of a guest that was only greeted, and no machine or other file is left", async () => {
  const shape = await shapeOf(256);
  assert.equal(templates.take(shape.fingerprint), undefined);
  templates.want(shape);
  await made(1);
  assert.deepEqual(events, ["launch", "close", "forget", "pause", "announce disks", "capture", "kill"]);
  assert.deepEqual(background, [true]);
  assert.deepEqual(readdirSync(directory), [shape.fingerprint]);
  assert.deepEqual(readdirSync(join(directory, shape.fingerprint)).toSorted(), [
    "manifest.json",
    "memory.img",
    "state.bin",
  ]);
  const { id, kernel, vcpus, memoryMib, vmm } = templates.show(shape.fingerprint.slice(0, 8));
  assert.deepEqual(
    { id, kernel, vcpus, memoryMib, vmm },
    { id: shape.fingerprint, kernel: { id: "k1", name: "debian" }, vcpus: 1, memoryMib: 256, vmm: "qemu 7.2.22 tcg" },
  );
  using use = templates.take(shape.fingerprint);
  assert.equal(use?.id, shape.fingerprint);
});

test("many starts of one shape want one template; other shapes wait for their turn", async () => {
  const captured = Promise.withResolvers<void>();
  onCapture = () => captured.promise;
  for (const memoryMib of [256, 256, 512, 256]) templates.want(await shapeOf(memoryMib));
  await until("the first capture", () => (count("capture") === 1 ? true : undefined));
  assert.equal(count("launch"), 1);
  const warmed = templates.warm({ vcpus: 1, memoryMib: 256 }, quiet());
  captured.resolve();
  await made(2);
  assert.equal((await warmed).memoryMib, 256);
  assert.equal(count("launch"), 2);
  templates.want(await shapeOf(256));
  assert.equal((await templates.warm({ vcpus: 1, memoryMib: 512 }, quiet())).memoryMib, 512);
  assert.equal(count("launch"), 2);
});

test("one that could not be made is told once, leaves nothing, and is tried again only after a while", async () => {
  const shape = await shapeOf(256);
  onCapture = () => Promise.reject(new BangerError("disk.full", "no space left"));
  for (let start = 0; start < 3; start++) {
    templates.want(shape);
    await until("the failure", () => (warnings.length === 1 && readdirSync(directory).length === 0 ? true : undefined));
  }
  assert.deepEqual(warnings, ["a memory template could not be made"]);
  assert.equal(count("kill"), 1);
  onCapture = async () => {};
  nowMs = 60_001;
  templates.want(shape);
  await made(1);
});

test("failures that follow one another hold for longer and longer, up to an hour", () => {
  let now = 0;
  const backOff = new BackOff(() => now);
  const waits = Array.from({ length: 9 }, () => backOff.failed("x") / 60_000);
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
  assert.ok(backOff.holds("x") && !backOff.holds("y"));
  now = 3600_000;
  assert.ok(!backOff.holds("x"));
});

test("one that is discarded goes, and is not made anew at once", async () => {
  const shape = await shapeOf(256);
  templates.want(shape);
  await made(1);
  await templates.discard(shape.fingerprint, new BangerError("snapshot.incompatible", "damaged"));
  assert.deepEqual(readdirSync(directory), []);
  templates.want(shape);
  assert.equal(count("launch"), 1);
  nowMs = 60_001;
  templates.want(shape);
  await made(1);
});

test("switched off, nothing is taken, made or warmed", async () => {
  const shape = await shapeOf(256);
  templates.want(shape);
  await made(1);
  await using off = await open({ enabled: false });
  assert.equal(off.take(shape.fingerprint), undefined);
  off.want(await shapeOf(512));
  await assert.rejects(off.warm({}, quiet()), { code: "template.failed" });
  assert.equal(count("launch"), 1);
  assert.equal(off.list().length, 1);
});

test("a host without room for the memory does not even boot a machine for it", async () => {
  const shape = { ...(await shapeOf(1024 * 1024 * 1024)) };
  templates.want(shape);
  await until("the warning", () => (warnings.length === 1 ? true : undefined));
  assert.deepEqual([events, readdirSync(directory)], [[], []]);
});

test("prune removes what no start can use any more; a newer agent or VMM replaces templates of the same size", async () => {
  for (const memoryMib of [256, 512]) templates.want(await shapeOf(memoryMib));
  await made(2);
  assert.deepEqual((await templates.prune({ all: false, dryRun: false })).templates, []);
  version = "8.0.0";
  const dry = await templates.prune({ all: false, dryRun: true });
  assert.equal(dry.templates.length, 2);
  assert.equal(templates.list().length, 2);
  const now = await shapeOf(256);
  templates.want(now);
  await until("the replacement", () => (templates.list()[0]?.id === now.fingerprint ? true : undefined));
  await made(2);
  const { templates: pruned, freedBytes } = await templates.prune({ all: false, dryRun: false });
  assert.deepEqual([pruned.map(({ memoryMib }) => memoryMib), freedBytes], [[512], pruned[0]?.usedBytes]);
  assert.equal((await templates.prune({ all: true, dryRun: false })).templates.length, 1);
  assert.deepEqual(readdirSync(directory), []);
});

test("a bound that was lowered holds from the next daemon on: those used last stay", async () => {
  const first = await templates.warm({ memoryMib: 256 }, quiet());
  await templates.warm({ memoryMib: 512 }, quiet());
  const both = templates.list().reduce((sum, { usedBytes }) => sum + usedBytes, 0);
  templates.take(first.id)?.[Symbol.dispose]();
  await templates[Symbol.asyncDispose]();
  templates = await open({ maxBytes: both - 1 });
  assert.deepEqual(
    templates.list().map(({ id }) => id),
    [first.id],
  );
  await templates[Symbol.asyncDispose]();
  templates = await open({ maxBytes: 1 });
  assert.deepEqual(templates.list(), []);
  await assert.rejects(templates.warm({}, quiet()), /the template takes \d+\.\d KiB, and all together may take 1 B/);
});

test("the templates of a kernel go with it, also one that was just being made", async () => {
  templates.want(await shapeOf(256));
  await made(1);
  onCapture = async () => {
    kernels = [];
  };
  templates.want(await shapeOf(512));
  await until("the failure", () => (warnings.length === 1 ? true : undefined));
  await templates.forgetRemoved();
  assert.deepEqual(readdirSync(directory), []);
});

test("the end of the daemon ends what is being made, and leaves nothing of it", async () => {
  const asked = Promise.withResolvers<void>();
  await using hung = await open({
    forgetSession: (_channel, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
        asked.resolve();
      }),
  });
  hung.want(await shapeOf(256));
  await asked.promise;
  await hung[Symbol.asyncDispose]();
  assert.equal(count("kill"), 1);
  assert.deepEqual([readdirSync(directory), warnings], [[], []]);
  hung.want(await shapeOf(256));
  assert.equal(count("launch"), 1);
});

const imageRequest = { image: "tools", vcpus: 1, memoryMib: 256, overlayBytes: 64 * mib, diskBytes: 96 * mib };

/** The shape of a fresh VM of an image whose file has this content. */
async function imageShape(content: string): Promise<TemplateShape> {
  const rootfsPath = join(directory, "..", `${basename(directory)}.ext4`);
  writeFileSync(rootfsPath, content);
  const config = { workdir: "/app", volumes: ["/data"] };
  const image = { id: "i1", name: "tools", rootfsPath, config } as unknown as ImageRecord;
  images = [image];
  return await withRoot(await shapeOf(256), { image, overlayBytes: 64 * mib, diskBytes: 96 * mib });
}

test("that of an image is made when it is wanted again, of that of the shape, with the disks as they were", async () => {
  const shared = await shapeOf(256);
  await templates.warm({ vcpus: 1, memoryMib: 256 }, quiet());
  const shape = await imageShape("root");
  events.length = 0;
  templates.want(shape);
  assert.deepEqual(templates.list().length, 1);
  templates.want(shape);
  await made(2);
  const made8 = shared.fingerprint.slice(0, 8);
  assert.deepEqual(events, [`restore ${made8}`, "assemble", "close", "forget", "pause", "capture", "kill"]);
  assert.deepEqual(background.at(-1), true);
  const [base, overlay, work] = restored[0]?.disks ?? [];
  assert.deepEqual([base?.path, base?.readOnly], [shape.root?.image.rootfsPath, true]);
  assert.deepEqual([overlay?.serial, overlay?.readOnly, work?.serial], ["overlay", false, "work"]);
  const { root } = templates.show(shape.fingerprint);
  assert.deepEqual(root, { image: { id: "i1", name: "tools" }, overlayBytes: 64 * mib, diskBytes: 96 * mib });
  using use = templates.take(shape.fingerprint);
  const { overlay: recipe, work: other } = use?.disks ?? assert.fail("it has no disks");
  for (const [file, sizeBytes] of [
    [recipe, 64 * mib],
    [other, 96 * mib],
  ] as const) {
    const disk = join(directory, "..", `${basename(directory)}.disk`);
    assert.ok(await makeDisk(disk, file, new AbortController().signal));
    assert.equal(statSync(disk).size, sizeBytes);
    execFileSync("e2fsck", ["-fn", disk]);
    rmSync(disk);
  }
  using plain = templates.take(shared.fingerprint);
  assert.deepEqual([plain?.id, plain?.disks], [shared.fingerprint, undefined]);
});

test("an image's template goes with the image, and is of no use for a file that was changed, or when they are switched off", async () => {
  const shape = await imageShape("root");
  const warmed = await templates.warm(imageRequest, quiet());
  assert.equal(warmed.id, shape.fingerprint);
  assert.equal((await templates.warm(imageRequest, quiet())).id, shape.fingerprint);
  assert.equal(count("assemble"), 1);
  const useless = async () => (await templates.prune({ all: false, dryRun: true })).templates.map(({ id }) => id);
  assert.deepEqual(await useless(), []);
  const changed = await imageShape("another root");
  assert.notEqual(changed.fingerprint, shape.fingerprint);
  assert.deepEqual(await useless(), [shape.fingerprint]);
  rmSync(changed.root?.image.rootfsPath ?? "");
  assert.deepEqual(await useless(), [shape.fingerprint]);
  await assert.rejects(templates.warm(imageRequest, quiet()), { code: "ENOENT" });

  await templates[Symbol.asyncDispose]();
  templates = await open({ ofImages: false });
  assert.equal(templates.list().length, 2);
  assert.equal(templates.take(shape.fingerprint), undefined);
  assert.deepEqual(await useless(), [shape.fingerprint]);
  await assert.rejects(templates.warm(imageRequest, quiet()), /templates of images are switched off/);
  for (let time = 0; time < 3; time++) templates.want(changed);
  assert.equal(templates.list().length, 2);

  images = [];
  await templates.forgetRemoved();
  assert.deepEqual(
    templates.list().map(({ root }) => root),
    [null],
  );
  assert.equal(count("assemble"), 1);
});

test("one of an image whose guest does not answer is given up, and keeps nobody from the template of its shape", async () => {
  const shape = await imageShape("root");
  await templates[Symbol.asyncDispose]();
  templates = await open({ settings: { ...settings, bootTimeoutMs: 300 } });
  const asked = Promise.withResolvers<void>();
  const { assemble } = agent;
  const silent = (_root: object, { signal }: { signal: AbortSignal }) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      asked.resolve();
    });
  Object.assign(agent, { assemble: silent });
  try {
    const warming = templates.warm(imageRequest, quiet());
    await asked.promise;
    await templates.discard(shape.root?.shape ?? "", new BangerError("snapshot.incompatible", "damaged"));
    await assert.rejects(warming, { code: "template.failed", message: /was not ready to be captured within 0.3 s$/ });
  } finally {
    Object.assign(agent, { assemble });
  }
  assert.deepEqual([readdirSync(directory), events.at(-1)], [[], "kill"]);
});

test("a template of a shape that cannot be restored goes, and that of an image is made by a boot", async () => {
  const shape = await imageShape("root");
  await templates.warm({ vcpus: 1, memoryMib: 256 }, quiet());
  refused = true;
  assert.equal((await templates.warm(imageRequest, quiet())).id, shape.fingerprint);
  assert.deepEqual(readdirSync(directory), [shape.fingerprint]);
  assert.deepEqual([count("launch"), count("assemble")], [2, 1]);
});

test("one of an image that is deleted while it is made does not stay", async () => {
  await imageShape("root");
  onCapture = async () => {
    if (count("assemble") === 0) return;
    images = [];
    await templates.forgetRemoved();
  };
  await assert.rejects(templates.warm(imageRequest, quiet()), /or its image was removed$/);
  assert.deepEqual(
    templates.list().map(({ root }) => root),
    [null],
  );
});

test("one of an image that fills the memory is not kept", async () => {
  const shape = await imageShape("root");
  onCapture = async ({ memoryFile }) => {
    if (count("assemble") > 0) writeFileSync(memoryFile, Buffer.alloc(257 * mib, 1));
  };
  await assert.rejects(templates.warm(imageRequest, quiet()), /the image fills 257\.0 MiB of its template's memory/);
  assert.deepEqual(readdirSync(directory), [shape.root?.shape]);
});

test("one of an image whose guest cannot put its root together leaves nothing", async () => {
  const shape = await imageShape("root");
  const assemble = agent.assemble;
  try {
    Object.assign(agent, { assemble: () => Promise.reject(new BangerError("guest.failed", "mount-disks: no")) });
    await assert.rejects(templates.warm(imageRequest, quiet()), { code: "guest.failed", message: "mount-disks: no" });
  } finally {
    Object.assign(agent, { assemble });
  }
  assert.deepEqual(readdirSync(directory), [shape.root?.shape]);
  assert.equal(events.at(-1), "kill");
});
