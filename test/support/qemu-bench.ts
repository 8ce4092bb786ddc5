// What tests of the QEMU driver share: a home of one test with tiny guests, and the proof at its end that no machine of it runs.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BangerError } from "../../src/lib/errors.ts";
import { type Logger, silentLogger } from "../../src/lib/log.ts";
import type { Driver, Machine, MachineSpec } from "../../src/vmm/driver.ts";
import { createQemuDriver } from "../../src/vmm/qemu/driver.ts";
import { type TinyInit, testKernel, writeTinyInitramfs } from "./tiny-guest.ts";
import { until } from "./until.ts";

export class QemuBench {
  readonly root = mkdtempSync(join(tmpdir(), "banger-qemu-"));
  readonly homeId = randomBytes(6).toString("hex");
  readonly kernel = testKernel();
  readonly driver = this.newDriver();

  newDriver(log: Logger = silentLogger): Driver {
    return createQemuDriver({
      paths: { homeId: this.homeId, cacheDir: join(this.root, "cache") },
      log,
      probeKernel: async () => this.kernel,
    });
  }

  spec(init: TinyInit, changes: Partial<MachineSpec> = {}): MachineSpec {
    const vmId = changes.vmId ?? "0123456789ab";
    const dir = changes.dir ?? join(this.root, vmId);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const initrd = join(this.root, `${init}.cpio`);
    writeTinyInitramfs(initrd, init);
    return {
      vmId,
      homeId: this.homeId,
      dir,
      kernel: this.kernel,
      initrd,
      kernelArguments: ["loglevel=7"],
      vcpus: 1,
      memoryMib: 128,
      disks: [],
      ...changes,
    };
  }

  /**
   * Launches a guest whose init is "count". One whose kernel found no timer (notes/qemu-boot.md) would stand still as soon as it
   * sleeps, and is launched anew.
   */
  async launchCounting(spec: MachineSpec): Promise<Machine> {
    for (;;) {
      const machine = await this.driver.launch(spec, { signal: new AbortController().signal });
      const timerless = /disabling apic timer/;
      await untilPrinted(spec, "the guest's init to run", () =>
        /Run \/init as init process/.test(consoleOf(spec)) || timerless.test(consoleOf(spec)) ? true : undefined,
      );
      if (!timerless.test(consoleOf(spec))) return machine;
      await machine.kill();
      await machine[Symbol.asyncDispose]();
      rmSync(join(spec.dir, "console.log"));
    }
  }

  /** Ends what still runs and removes all files; says what it was: machine to pid. */
  async end(): Promise<ReadonlyMap<string, number>> {
    const left = await this.driver.list(this.homeId);
    for (const [vmId, pid] of left) await this.driver.killOrphan(vmId, this.homeId, pid);
    rmSync(this.root, { recursive: true, force: true });
    return left;
  }
}

/** A test with a bench of its own. What fails in it is the error, and not the machines that it then left running. */
export function benchTest(name: string, body: (bench: QemuBench) => Promise<void>): void {
  void test(name, async () => {
    const bench = new QemuBench();
    try {
      await body(bench);
    } catch (error) {
      await bench.end();
      throw error;
    }
    assert.deepEqual(await bench.end(), new Map(), "machines were left running");
  });
}

/** What a machine has in its directory only while it runs. */
export const runtimeFiles = (dir: string) =>
  readdirSync(dir).filter((name) => /^(vmm\.json|.*\.sock|.*\.tmp)$/.test(name));

const consoleOf = (spec: MachineSpec) => readFileSync(join(spec.dir, "console.log"), "utf8");

/** Waits for what a guest prints; an error shows where it stands. */
async function untilPrinted<T>(spec: MachineSpec, what: string, look: () => T | undefined): Promise<T> {
  try {
    return await until(what, look);
  } catch (error) {
    throw new Error(
      `${(error as Error).message}; its console ends with ${JSON.stringify(consoleOf(spec).slice(-500))}`,
      {
        cause: error,
      },
    );
  }
}

export const booted = (spec: MachineSpec) =>
  untilPrinted(spec, "the guest's init to run", () =>
    consoleOf(spec).includes("Run /init as init process") ? true : undefined,
  );

/** Numbers that a guest whose init is "count" has printed so far. */
export const counted = (spec: MachineSpec) =>
  [...consoleOf(spec).matchAll(/^(\d{8})\r?$/gm)].map(([, digits]) => Number(digits));

/** Waits until the guest has printed that many numbers, and gives them. */
export const countsTo = (spec: MachineSpec, count: number) =>
  untilPrinted(spec, `${spec.vmId} to count ${count} times`, () => {
    const numbers = counted(spec);
    return numbers.length >= count ? numbers : undefined;
  });

/** The error that the work ends with. */
export async function failure(work: Promise<unknown>): Promise<BangerError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof BangerError, `expected a BangerError, got ${String(error)}`);
  return error;
}
