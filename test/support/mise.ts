// The real mise for tests: a pinned release of its npm package, checked and kept below the checkout's own cache; an image that has it;
// and a mirror that it installs from, with versions of node that are small scripts.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./home.ts";
import { seedHome } from "./seed.ts";

const version = "2026.9.15";
const { arch } = process;
/** Of the packages that were looked at. */
const integrity: Partial<Record<string, string>> = {
  x64: "sha512-ButPFGyztN0Rk/HOHvHuf+W80CkvQRAjbDWHvhGJc3PnL3e2KhCYZIOyjx8wPkhr9VJa/7sJZXpxtt5JLjsfaQ==",
};
const cache = join(root, ".cache/test-mise");

/** Path of the program; fetched the first time, about 50 MB. */
export function miseProgram(): string {
  const program = join(cache, `mise-${version}`);
  if (existsSync(program)) return program;
  if (integrity[arch] === undefined) throw new Error(`nobody has looked at mise ${version} for ${arch} yet`);
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "new-"));
  try {
    command("npm", ["pack", "--silent", `--pack-destination=${work}`, `@jdxcode/mise-linux-${arch}@${version}`]);
    const [name = ""] = readdirSync(work);
    const packed = join(work, name);
    const found = `sha512-${createHash("sha512").update(readFileSync(packed)).digest("base64")}`;
    if (found !== integrity[arch]) throw new Error(`the package of mise ${version} is another one: ${found}`);
    command("tar", ["-xzf", packed, "-C", work, "package/bin/mise"]);
    renameSync(join(work, "package/bin/mise"), program);
  } finally {
    rmSync(work, { recursive: true });
  }
  return program;
}

/** Path of an ext4 file made in `work`: the seed's image with mise in it, which is told to take node from `mirror`. */
export function imageWithMise(work: string, mirror: string): string {
  const images = join(seedHome, "state/images");
  const [id = ""] = readdirSync(images);
  const image = join(work, "with-mise.ext4");
  cpSync(join(images, id, "rootfs.ext4"), image);
  chmodSync(image, 0o600);
  command("truncate", ["--size=+300M", image]);
  command("resize2fs", ["-f", image]);
  const config = join(work, "config.toml");
  writeFileSync(config, `[settings]\nnode.mirror_url = "${mirror}"\n`);
  const place = "/usr/local/bin/mise";
  for (const words of [
    `write ${miseProgram()} ${place}`,
    `set_inode_field ${place} mode 0100755`,
    "mkdir /etc/mise",
    `write ${config} /etc/mise/config.toml`,
  ]) {
    command("debugfs", ["-w", "-R", words, image]);
  }
  return image;
}

/** Makes the directory of a mirror of node with some releases. All that those can is to say their version. */
export function nodeMirror(mirror: string, releases: readonly string[]): void {
  for (const release of releases) addNode(mirror, release);
  const index = releases.map((release) => ({ version: `v${release}`, date: "2024-05-02", files: [], lts: false }));
  writeFileSync(join(mirror, "index.json"), JSON.stringify(index));
}

function addNode(mirror: string, release: string): void {
  const name = `node-v${release}-linux-${arch}`;
  const to = join(mirror, `v${release}`);
  const bin = join(to, name, "bin");
  mkdirSync(bin, { recursive: true });
  for (const program of ["node", "npm"])
    writeFileSync(join(bin, program), `#!/bin/sh\necho v${release}\n`, { mode: 0o755 });
  command("tar", ["-C", to, "-czf", join(to, `${name}.tar.gz`), name]);
  const digest = createHash("sha256")
    .update(readFileSync(join(to, `${name}.tar.gz`)))
    .digest("hex");
  writeFileSync(join(to, "SHASUMS256.txt"), `${digest}  ${name}.tar.gz\n`);
}

function command(file: string, args: readonly string[]): void {
  execFileSync(file, args, { stdio: "pipe", timeout: 300_000 });
}

if (import.meta.main) process.stdout.write(`${miseProgram()}\n`);
