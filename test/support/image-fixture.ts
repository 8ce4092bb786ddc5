// Two real images for tests and measurements, in the store of a registry: a small one (Debian with systemd and Python, one layer)
// and a large one (with compilers, git, Node, npm and Go; eight layers, deletions, a gigabyte) in three compressions.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { json } from "../../src/image/oci/testdata/layout.ts";
import { startRegistry } from "../../src/registry/testdata/docker-registry.ts";

const directory = join(import.meta.dirname, "../../.cache/test-images");
/** To be raised when the content changes: what was made before is made again. */
const edition = 2;
const basePackages = ["systemd", "systemd-sysv", "dbus", "python3", "libcap2-bin", "iputils-ping", "ca-certificates"];

/** How the layers of an image are packed: media type and the program that packs, if any. */
const packings = {
  gzip: { suffix: "+gzip", command: ["pigz", "-n", "-c"] },
  zstd: { suffix: "+zstd", command: ["zstd", "-q", "-T0", "-c"] },
  plain: { suffix: "", command: undefined },
} as const;
export type Packing = keyof typeof packings;

/** Names below the registry's host. */
export const imageNames = { small: "test/small:gzip", large: (packing: Packing) => `test/large:${packing}` };

/**
 * Path of a registry's store with the images: serve it with `startRegistry({ store })`. Made the first time, as root, which takes
 * some minutes, 2 GB of memory and 5 GB of disk, and kept below the checkout's own cache.
 */
export async function imageStore(): Promise<string> {
  const store = join(directory, `store-${edition}`);
  if (existsSync(store)) return store;
  if (process.getuid?.() !== 0) throw new Error("images for tests and measurements are made as root");
  const work = join(directory, `new-${process.pid}`);
  mkdirSync(work, { recursive: true, mode: 0o700 });
  try {
    const layers = makeLayers(work);
    const made = join(work, "store");
    mkdirSync(made);
    await using registry = await startRegistry({ store: made });
    const put = async (name: string, packing: Packing, some: readonly string[]) => {
      const layout = join(work, name.replace(/\W/g, "-"));
      await writeLayout(layout, packing, some);
      const to = `docker://${registry.host}/${name}`;
      command("skopeo", ["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", `oci:${layout}:x`, to]);
    };
    await put(imageNames.small, "gzip", layers.slice(0, 1));
    for (const packing of ["gzip", "zstd", "plain"] as const) await put(imageNames.large(packing), packing, layers);
    for (const name of readdirSync(directory)) {
      if (name.startsWith("store-")) rmSync(join(directory, name), { recursive: true });
    }
    renameSync(made, store);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return store;
}

/** Paths of the tar files of the layers, the lowest first. */
function makeLayers(work: string): string[] {
  const layers = join(work, "layers");
  mkdirSync(layers);
  const hook = '--customize-hook="$BANGER_TEST_NODE" "$BANGER_TEST_STAGES" "$1" "$BANGER_TEST_LAYERS"';
  const base = ["--mode=root", "--variant=minbase", "--format=null", `--include=${basePackages.join(",")}`];
  // In memory: it is thrown away, and dpkg waits for the disk.
  const root = join(work, "root");
  mkdirSync(root);
  const inMemory = ["--mount", "sh", "-ec", 'mount -t tmpfs -o mode=0755 none "$0"; exec "$@"', root];
  const build = ["mmdebstrap", ...base, "--dpkgopt=force-unsafe-io", hook, "bookworm", "-", ...mirrors()];
  command("unshare", [...inMemory, ...build], {
    TMPDIR: root,
    SOURCE_DATE_EPOCH: "1686355200",
    BANGER_TEST_NODE: process.execPath,
    BANGER_TEST_STAGES: join(import.meta.dirname, "image-stages.ts"),
    BANGER_TEST_LAYERS: layers,
  });
  const count = readdirSync(layers).length;
  return Array.from({ length: count }, (_, index) => join(layers, `${index}.tar`));
}

/** The package sources of this machine, when they are for the same suite; none: those of mmdebstrap. */
function mirrors(): string[] {
  const format = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)|$(ORIGIN)";
  const lines = command("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]).split("\n");
  const ours = lines.filter((line) => / bookworm\S* main\|Debian$/.test(line));
  return [...new Set(ours.map((line) => line.slice(0, line.indexOf("|"))))];
}

async function writeLayout(layout: string, packing: Packing, layers: readonly string[]): Promise<void> {
  const blobs = join(layout, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const describe = (kind: string, digest: string) => ({
    mediaType: `application/vnd.oci.image.${kind}`,
    digest: `sha256:${digest}`,
    size: statSync(join(blobs, digest)).size,
  });
  const add = (kind: string, content: object) => {
    const bytes = json(content);
    const digest = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, digest), bytes);
    return describe(kind, digest);
  };
  const diffIds: string[] = [];
  const described: object[] = [];
  for (const layer of layers) {
    const packed = await pack(layer, packing);
    diffIds.push(`sha256:${await sha256(layer)}`);
    const digest = await sha256(packed);
    linkSync(packed, join(blobs, digest));
    described.push(describe(`layer.v1.tar${packings[packing].suffix}`, digest));
  }
  const config = add("config.v1+json", {
    created: "2023-06-10T00:00:00Z",
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Cmd: ["/bin/bash"], Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
    rootfs: { type: "layers", diff_ids: diffIds },
    history: diffIds.map((_, index) => ({ created: "2023-06-10T00:00:00Z", created_by: `step ${index + 1}` })),
  });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = add("manifest.v1+json", { schemaVersion: 2, mediaType, config, layers: described });
  const named = { ...manifest, annotations: { "org.opencontainers.image.ref.name": "x" } };
  writeFileSync(join(layout, "index.json"), json({ schemaVersion: 2, manifests: [named] }));
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

/** Path of the packed file, which is made once. */
async function pack(layer: string, packing: Packing): Promise<string> {
  const [file, ...args] = packings[packing].command ?? [];
  const packed = file === undefined ? layer : `${layer}.${packing}`;
  if (file !== undefined && !existsSync(packed)) command("sh", ["-c", '"$@" > "$0"', packed, file, ...args, layer]);
  return packed;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

function command(file: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): string {
  const ran = spawnSync(file, args, { encoding: "utf8", env: { ...process.env, LC_ALL: "C", ...environment } });
  if (ran.status !== 0) throw new Error(`${file} ${args.join(" ")}: ${ran.error?.message ?? ran.stderr}`);
  return ran.stdout;
}

if (import.meta.main) process.stdout.write(`${await imageStore()}\n`);
