// The choice between hardware and software, with a fixture in place of QEMU that plays the hosts one meets.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createAcceleratorChoice, explainAccelerator, kvmFlagOf } from "./accelerator.ts";
import { probeKvm } from "./kvm-probe.ts";
import { platformOf } from "./platform.ts";

const signal = new AbortController().signal;

/** A directory with a kernel file and a program that counts its boots in `boots` and behaves as `boot` says. */
class Fixture implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "banger-kvm-"));
  readonly kernel = join(this.root, "kernel");
  readonly program = join(this.root, "qemu");
  readonly cacheDir = join(this.root, "cache");

  constructor(boot: string) {
    writeFileSync(this.kernel, "kernel");
    this.install(boot, "7.2");
  }

  install(boot: string, version: string): void {
    const script = `#!/bin/sh\nif [ "$1" = --version ]; then echo "QEMU ${version}"; exit; fi\necho >> "${this.root}/boots"\n${boot}\n`;
    writeFileSync(this.program, script, { mode: 0o755 });
  }

  probe() {
    const { program, kernel, cacheDir } = this;
    return probeKvm({ platform: platformOf("x64"), program, kernel, cacheDir, signal });
  }

  get boots(): number {
    return existsSync(join(this.root, "boots")) ? readFileSync(join(this.root, "boots")).length : 0;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }
}

test("a kernel that boots is the proof; the answer is kept until QEMU or the kernel changes", async () => {
  using fixture = new Fixture('echo "Linux version 6.1"');
  assert.deepEqual(await fixture.probe(), { works: true, detail: "a kernel boots with it" });
  assert.equal((await fixture.probe()).works, true);
  assert.equal(fixture.boots, 1);
  fixture.install("echo could not initialize KVM >&2; exit 1", "8.0");
  const failed = await fixture.probe();
  assert.equal(failed.works, false);
  assert.match(failed.detail, /could not initialize KVM/);
  writeFileSync(fixture.kernel, "another kernel");
  await fixture.probe();
  assert.equal(fixture.boots, 3);
});

test("a machine that ends without a word does not work, and a damaged cache is made anew", async () => {
  using fixture = new Fixture("exit 0");
  assert.equal((await fixture.probe()).works, false);
  writeFileSync(join(fixture.cacheDir, "kvm-probe.json"), "{");
  assert.equal((await fixture.probe()).works, false);
  assert.equal(fixture.boots, 2);
});

test("the processor's flag is a whole word of the flags", () => {
  const info = (flags: string) => `model name\t: svm\nflags\t\t: ${flags}\n`;
  assert.equal(kvmFlagOf(info("fpu svm sse"), ["vmx", "svm"]), "svm");
  assert.equal(kvmFlagOf(info("fpu svm_lock avic"), ["vmx", "svm"]), undefined);
  assert.equal(kvmFlagOf("", []), "not needed");
});

test("without a kernel there is no hardware yet, and no boot; the reason is a sentence", async () => {
  using fixture = new Fixture("exit 1");
  const options = { paths: { cacheDir: fixture.cacheDir }, probeKernel: async () => undefined };
  const facts = await explainAccelerator({ ...options, signal });
  assert.equal(facts.accelerator, "tcg");
  assert.match(facts.reason, /^software emulation: .+/);
  assert.equal((await createAcceleratorChoice(options)({ signal })).accelerator, "tcg");
});
