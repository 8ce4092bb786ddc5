// A home on a disk of a few MiB: a tmpfs, or an ext4, in a mount namespace that ends with this process, however it ends.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Home } from "./home.ts";

export interface SmallDiskOptions {
  /** Without a seed the whole home is on the small disk, with one only its state and its memory templates. */
  seeded: boolean;
  sizeMib: number;
  /** Default "tmpfs". Machines with memory in files need ext4: on a full tmpfs even reading a hole of a mapped file kills a process. */
  fileSystem?: "tmpfs" | "ext4";
}

function mount({ sizeMib, fileSystem }: SmallDiskOptions, target: string): string {
  if (fileSystem !== "ext4") return `mount -t tmpfs -o size=${sizeMib}m,mode=700 none ${target}`;
  return `truncate -s ${sizeMib}M disk.ext4 && mke2fs -q -F -t ext4 -m 0 disk.ext4
  mount -o loop disk.ext4 ${target} && rm -r ${target}/lost+found && chmod 700 ${target}`;
}

/** What is written while VMs live is on the small disk, memory templates, too; images and kernels of the seed stay where they are. */
const seeded = (options: SmallDiskOptions) => `
  mkdir small && ${mount(options, "small")}
  cp -a state/banger.db* state/ssh small/ && mkdir small/vms small/images small/kernels small/templates
  mount --bind state/images small/images && mount --bind state/kernels small/kernels
  mkdir -p cache/templates && mount --bind small/templates cache/templates
  mount --rbind small state`;

export class SmallDiskHome extends Home {
  readonly #holder: ChildProcess;

  private constructor(options: SmallDiskOptions) {
    super(options);
    const script = options.seeded ? seeded(options) : mount(options, ".");
    // The namespace lives as long as cat, and cat as long as this process holds its stdin.
    this.#holder = spawn("unshare", ["--mount", "sh", "-ec", `${script}\necho ready; exec cat`], {
      cwd: this.path,
      stdio: ["pipe", "pipe", "inherit"],
    });
  }

  static async make(options: SmallDiskOptions): Promise<SmallDiskHome> {
    const home = new SmallDiskHome(options);
    const [said] = (await once(home.#holder.stdout ?? home.#holder, "data")) as [Buffer];
    assert.equal(String(said), "ready\n");
    return home;
  }

  override get files(): string {
    return join(`/proc/${this.#holder.pid}/root`, this.path);
  }

  /** A process in the mount namespace that has the small disk. */
  get namespacePid(): number | undefined {
    return this.#holder.pid;
  }

  protected override command(args: readonly string[]): [string, ...string[]] {
    return ["nsenter", `--mount=/proc/${this.#holder.pid}/ns/mnt`, ...super.command(args)];
  }

  /** Free bytes of the small disk. */
  free(): number {
    const { bavail, bsize } = statfsSync(join(this.files, "state"));
    return bavail * bsize;
  }

  /** Leaves only so many bytes free, until the filler is disposed. */
  async fill(leaveBytes: number): Promise<Disposable> {
    mkdirSync(join(this.files, "state"), { recursive: true });
    const filler = join(this.files, "state/filler");
    const sizeBytes = this.free() - leaveBytes;
    const child = spawn("fallocate", ["-l", String(sizeBytes), filler], { stdio: ["ignore", "ignore", "pipe"] });
    const said = await text(child.stderr);
    // On ext4 the filler needs some blocks for its own tables, and keeps what it got.
    assert.ok(existsSync(filler) && this.free() <= leaveBytes + 65_536, `${said}${this.free()} bytes are free`);
    return { [Symbol.dispose]: () => rmSync(filler, { force: true }) };
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    try {
      await super[Symbol.asyncDispose]();
    } finally {
      const ended = once(this.#holder, "exit");
      this.#holder.stdin?.end();
      await ended;
    }
  }
}
