// Root file systems with an init of their own: Debian with systemd, and one that is nothing but busybox.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const directory = join(import.meta.dirname, "../../.cache/test-systemd");

/** Path of a tar, made the first time (about half a minute) and kept below the checkout's own cache. */
export function systemdTar(): string {
  const file = join(directory, "bookworm-systemd.tar");
  if (existsSync(file)) return file;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const made = `${file}.${process.pid}.tar`;
  const built = spawnSync(
    "mmdebstrap",
    ["--variant=minbase", "--include=systemd,systemd-sysv,dbus,busybox-static", "bookworm", made],
    { encoding: "utf8" },
  );
  if (built.status !== 0) throw new Error(`the image with systemd could not be made: ${built.stderr}`);
  renameSync(made, file);
  return file;
}

/** Makes a tar in `work`, an empty directory, with busybox as init and that inittab. */
export function busyboxTar(work: string, inittab: string): string {
  const root = join(work, "root");
  for (const name of ["bin", "sbin", "etc", "usr", "tmp"]) mkdirSync(join(root, name), { recursive: true });
  execFileSync("tar", ["-xf", systemdTar(), "-C", root, "--strip-components=2", "./usr/bin/busybox"]);
  for (const name of ["sh", "cat", "sleep", "true"]) symlinkSync("busybox", join(root, "bin", name));
  for (const name of ["init", "poweroff"]) symlinkSync("../bin/busybox", join(root, "sbin", name));
  writeFileSync(join(root, "etc/inittab"), inittab);
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  const file = join(work, "busybox.tar");
  execFileSync("tar", ["-cf", file, "--owner=0", "--group=0", "-C", root, "."]);
  return file;
}
