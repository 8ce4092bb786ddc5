// Small images as other people make them, built with umoci and put into a registry by skopeo.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { archive, type TestEntry } from "../../src/image/testdata/archive.ts";
import { root } from "./home.ts";
import { systemdTar } from "./init-images.ts";

/** What an image says of running it. */
export interface SmallConfig {
  entrypoint?: readonly string[];
  command?: readonly string[];
  environment?: readonly string[];
  user?: string;
  workdir?: string;
}

/**
 * Builds an image of layers, which are entries or the paths of tars, and pushes it to `name`, "host:port/path:tag". `work` is a
 * directory of the caller's.
 */
export function pushImage(
  work: string,
  name: string,
  layers: readonly (readonly TestEntry[] | string)[],
  config: SmallConfig,
): void {
  const path = name.slice(name.indexOf("/") + 1);
  const layout = join(work, path.replaceAll(/\W/g, "-"));
  const image = `${layout}:x`;
  command("umoci", "init", "--layout", layout);
  command("umoci", "new", "--image", image);
  for (const [index, layer] of layers.entries()) {
    const tar = typeof layer === "string" ? layer : `${layout}-${index}.tar`;
    if (typeof layer !== "string") writeFileSync(tar, archive(layer));
    command("umoci", "raw", "add-layer", "--image", image, tar);
  }
  command(
    "umoci",
    "config",
    ...["--image", image],
    ...(config.entrypoint ?? []).map((word) => `--config.entrypoint=${word}`),
    ...(config.command ?? []).map((word) => `--config.cmd=${word}`),
    ...(config.environment ?? []).map((variable) => `--config.env=${variable}`),
    ...(config.user === undefined ? [] : [`--config.user=${config.user}`]),
    ...(config.workdir === undefined ? [] : [`--config.workingdir=${config.workdir}`]),
  );
  command("skopeo", "copy", "--quiet", "--dest-tls-verify=false", `oci:${image}`, `docker://${name}`);
}

/** A root file system like Alpine's: busybox, users, and nothing that uses a dynamic linker. */
export function busyboxLayer(work: string): TestEntry[] {
  const unpacked = join(work, "busybox");
  mkdirSync(unpacked, { recursive: true });
  execFileSync("tar", ["-xf", systemdTar(), "-C", unpacked, "./usr/bin/busybox"]);
  const applets = ["sh", "cat", "echo", "env", "id", "ls", "pwd", "sleep", "stat", "true", "uname", "wc"];
  return [
    ...["bin", "etc", "etc/apk", "home", "lib/apk", "lib/apk/db", "usr", "usr/bin", "var"].map((path): TestEntry => ({
      path,
      type: "5",
      mode: 0o755,
    })),
    { path: "root", type: "5", mode: 0o700 },
    { path: "tmp", type: "5", mode: 0o1777 },
    { path: "home/app", type: "5", mode: 0o755, uid: 1000, gid: 1000 },
    { path: "bin/busybox", data: readFileSync(join(unpacked, "usr/bin/busybox")), mode: 0o755 },
    ...applets.map((name): TestEntry => ({ path: `bin/${name}`, type: "2", link: "/bin/busybox" })),
    { path: "etc/alpine-release", data: "3.20.0\n" },
    { path: "etc/apk/world", data: "busybox\n" },
    { path: "lib/apk/db/installed", data: "P:busybox\nV:1.36.1\n\n" },
    { path: "etc/os-release", data: 'ID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME="like Alpine"\n' },
    { path: "etc/passwd", data: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n" },
    { path: "etc/group", data: "root:x:0:\napp:x:1000:\nlog:x:50:app\n" },
  ];
}

/** What distroless images are: users, certificates, and one static program below /app. */
export function distrolessLayers(program: Buffer): TestEntry[][] {
  return [
    [
      { path: "etc", type: "5", mode: 0o755 },
      {
        path: "etc/passwd",
        data: "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
      },
      { path: "etc/group", data: "root:x:0:\nnonroot:x:65532:\n" },
      { path: "etc/nsswitch.conf", data: "hosts: files dns\n" },
      { path: "home/nonroot", type: "5", mode: 0o700, uid: 65532, gid: 65532 },
      { path: "tmp", type: "5", mode: 0o1777 },
    ],
    [{ path: "app/server", data: program, mode: 0o755 }],
  ];
}

/** A static program of one Go file. */
export function staticProgram(work: string, name: string, source: string): Buffer {
  writeFileSync(join(work, `${name}.go`), source);
  execFileSync(join(root, ".cache/bin/go"), ["build", "-trimpath", "-o", name, `${name}.go`], {
    cwd: work,
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "" },
    stdio: "pipe",
  });
  return readFileSync(join(work, name));
}

function command(file: string, ...args: string[]): void {
  const ran = spawnSync(file, args, { encoding: "utf8" });
  if (ran.status !== 0) throw new Error(`${file} ${args.join(" ")}: ${ran.error?.message ?? ran.stderr}`);
}
