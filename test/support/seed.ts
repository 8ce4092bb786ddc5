// The seed home of tests with real VMs: kernel and image pulled once by the real program, and memory templates, all linked into
// each test's own home.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
/** Kept between runs, below the checkout's own cache. */
export const seedHome = join(root, ".cache/test-seed");

/** What most VMs of tests are made of: the seed has a memory template for them. */
export const smallMachine = ["--memory", "256M", "--vcpu", "1"];
/** With disks for which the seed has a memory template of the image. */
export const smallVm = [...smallMachine, "--disk-size", "256M", "--system-overlay-size", "256M"];

/** Pulls what is missing. Takes about half a minute the first time. */
export function prepareSeed(): void {
  mkdirSync(seedHome, { recursive: true, mode: 0o700 });
  for (const [noun, name] of [
    ["kernel", "debian-bookworm-cloud"],
    ["image", "debian-bookworm"],
  ] as const) {
    if (banger(noun, "show", name).status === 0) continue;
    const pulled = banger(noun, "pull", name);
    if (pulled.status !== 0) throw new Error(`the seed could not be prepared: ${pulled.stderr}`);
  }
  const warmed = banger("template", "warm", "--image", "debian-bookworm", ...smallVm);
  if (warmed.status !== 0) throw new Error(`the seed has no memory templates: ${warmed.stderr}`);
  const stopped = banger("daemon", "stop");
  if (stopped.status !== 0) throw new Error(`the seed's daemon did not stop: ${stopped.stderr}`);
}

function banger(...args: string[]) {
  return spawnSync(join(root, "bin/banger"), args, {
    env: { ...process.env, BANGER_HOME: seedHome },
    encoding: "utf8",
  });
}

if (import.meta.main) prepareSeed();
