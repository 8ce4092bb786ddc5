// What the hosts of package-hosts.ts serve: for each of apt, npm and pip a package that needs a second one, made by the tools that
// maintainers make them with, and a repository of git. Indexes and what they lead to are on different hosts.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Names of all hosts, and their addresses. */
export const packageHostAddresses: Readonly<Record<string, string>> = {
  "deb.example": "93.184.216.20",
  "pool.example": "93.184.216.21",
  "npm.example": "93.184.216.22",
  "tarballs.example": "93.184.216.23",
  "pypi.example": "93.184.216.24",
  "files.example": "93.184.216.25",
  "git.example": "93.184.216.26",
};

/** What the program, the modules and the file of the repository say in the end. */
export const word = { apt: "hello from apt", npm: "hello from npm", pip: "hello from pip", git: "hello from git\n" };

/** Fills a directory, which is made, with a directory for each host. */
export function makePackages(directory: string): void {
  for (const host of Object.keys(packageHostAddresses)) mkdirSync(join(directory, host), { recursive: true });
  const work = join(directory, "work");
  makeApt(join(work, "apt"), join(directory, "deb.example"), join(directory, "pool.example"));
  makeNpm(join(work, "npm"), join(directory, "npm.example"), join(directory, "tarballs.example"));
  makePip(join(work, "pip"), join(directory, "pypi.example"), join(directory, "files.example"));
  makeGit(join(work, "git"), join(directory, "git.example"));
  rmSync(work, { recursive: true });
}

/** A flat repository whose packages are redirected to the pool, as those of mirrors are. "greet" runs what "greet-words" has. */
function makeApt(work: string, index: string, pool: string): void {
  const control = (name: string, more: string) =>
    `Package: ${name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@deb.example>\nDescription: greets\n${more}`;
  write(join(work, "greet/DEBIAN/control"), control("greet", "Depends: greet-words (>= 1.0)\n"));
  write(join(work, "greet/usr/bin/greet"), "#!/bin/sh\nexec cat /usr/share/greet-words\n", 0o755);
  write(join(work, "greet-words/DEBIAN/control"), control("greet-words", ""));
  write(join(work, "greet-words/usr/share/greet-words"), `${word.apt}\n`);
  for (const name of ["greet", "greet-words"]) {
    run(work, "dpkg-deb", "--root-owner-group", "-Zgzip", "--build", name, pool);
  }
  const packages = run(pool, "dpkg-scanpackages", "--multiversion", ".");
  writeFileSync(join(index, "Packages"), packages);
  const facts = `${digest(packages, "sha256", "hex")} ${Buffer.byteLength(packages)} Packages`;
  writeFileSync(join(index, "Release"), `Suite: test\nDate: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n ${facts}\n`);
  const debs = readdirSync(pool).map((name) => [`/${name}`, `https://pool.example/${name}`]);
  writeFileSync(join(index, "redirects.json"), JSON.stringify(Object.fromEntries(debs)));
}

function makeNpm(work: string, registry: string, tarballs: string): void {
  const manifests = [
    { name: "greet", version: "1.0.0", dependencies: { "greet-words": "^1.0.0" } },
    { name: "greet-words", version: "1.0.0" },
  ];
  const code = ['module.exports = require("greet-words");\n', `module.exports = ${JSON.stringify(word.npm)};\n`];
  for (const [at, manifest] of manifests.entries()) {
    const { name, version } = manifest;
    write(join(work, name, "package.json"), JSON.stringify(manifest));
    write(join(work, name, "index.js"), code[at] ?? "");
    run(join(work, name), "npm", "pack", "--offline", "--silent", `--cache=${work}/cache`);
    const file = `${name}-${version}.tgz`;
    renameSync(join(work, name, file), join(tarballs, file));
    const integrity = `sha512-${digest(readFileSync(join(tarballs, file)), "sha512", "base64")}`;
    const dist = { tarball: `https://tarballs.example/${file}`, integrity };
    const packument = { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
    writeFileSync(join(registry, `${name}.json`), JSON.stringify(packument));
  }
}

/** PEP 503, with wheels. */
function makePip(work: string, index: string, files: string): void {
  const code = ["from greet_words import word\n", `word = ${JSON.stringify(word.pip)}\n`];
  for (const [at, name] of ["greet", "greet_words"].entries()) {
    const info = `${name}-1.0.dist-info`;
    const needs = at === 0 ? "Requires-Dist: greet-words>=1.0\n" : "";
    write(join(work, name, `${name}.py`), code[at] ?? "");
    write(join(work, name, info, "METADATA"), `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n${needs}`);
    write(
      join(work, name, info, "WHEEL"),
      "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    );
    const listed = [`${name}.py`, `${info}/METADATA`, `${info}/WHEEL`, `${info}/RECORD`];
    write(join(work, name, info, "RECORD"), listed.map((path) => `${path},,\n`).join(""));
    const wheel = join(files, `${name}-1.0-py3-none-any.whl`);
    run(join(work, name), "python3", "-m", "zipfile", "-c", wheel, `${name}.py`, info);
    const link = `https://files.example/${name}-1.0-py3-none-any.whl#sha256=${digest(readFileSync(wheel), "sha256", "hex")}`;
    write(
      join(index, "simple", name.replace("_", "-"), "index.html"),
      `<!DOCTYPE html>\n<a href="${link}">${name}</a>\n`,
    );
  }
}

function makeGit(work: string, host: string): void {
  write(join(work, "greeting"), word.git);
  const git = (...args: string[]) =>
    run(work, "git", "-c", "user.name=Nobody", "-c", "user.email=nobody@git.example", ...args);
  git("init", "--quiet", "--initial-branch=main");
  git("add", "greeting");
  git("commit", "--quiet", "--message=Greet");
  git("clone", "--quiet", "--bare", ".", join(host, "greet.git"));
}

function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode });
}

function digest(data: string | Buffer, algorithm: "sha256" | "sha512", encoding: "hex" | "base64"): string {
  return createHash(algorithm).update(data).digest(encoding);
}

function run(cwd: string, file: string, ...args: string[]): string {
  return execFileSync(file, args, { cwd, encoding: "utf8", timeout: 120_000, stdio: ["ignore", "pipe", "pipe"] });
}
