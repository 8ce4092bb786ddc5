// A kernel to import: the seed's, as the tree of a distribution's package and as the package.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seedHome } from "./seed.ts";

const control = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n";

/** Makes the directory, and returns it. It has copies: another test's home that links the same files, or goes, changes them for tar. */
export function seedKernelTree(directory: string): string {
  const kernels = join(seedHome, "state/kernels");
  const seed = join(kernels, readdirSync(kernels)[0] ?? "");
  mkdirSync(join(directory, "DEBIAN"), { recursive: true });
  writeFileSync(join(directory, "DEBIAN/control"), control);
  execFileSync("cp", ["-a", join(seed, "lib"), directory]);
  execFileSync("cp", [join(seed, "kernel"), join(directory, "vmlinuz")]);
  return directory;
}

/** Packs such a tree, and returns the file. */
export function packKernel(tree: string, deb: string): string {
  execFileSync("dpkg-deb", ["--root-owner-group", "-Znone", "-b", tree, deb], { stdio: "pipe" });
  return deb;
}
