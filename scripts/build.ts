// Bundles the programs into dist/ and links the Node that runs them as dist/node.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { build, type BuildOptions, type Plugin } from "esbuild";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");
const version = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;

/** Short commit of the checkout, "unknown" outside git (a source archive). */
function commit(): string {
  try {
    return execFileSync("git", ["-C", root, "rev-parse", "--short=8", "HEAD"], { stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim();
  } catch {
    return "unknown";
  }
}

mkdirSync(dist, { recursive: true });
for (const old of ["chunks", "compile-cache"]) rmSync(join(dist, old), { recursive: true, force: true });
const node = join(dist, "node");
rmSync(node, { force: true });
symlinkSync(`../node_modules/node-linux-${process.arch}/bin/node`, node);

const define = {
  BANGER_VERSION: JSON.stringify(version),
  BANGER_COMMIT: JSON.stringify(commit()),
  BANGER_BUILT_AT: String(Date.now()),
};

/**
 * Built-in modules are taken from Node when the code that needs them runs: an import statement would run at the start, and would
 * evaluate every getter of the module, which loads a good part of Node.
 */
const builtins: Plugin = {
  name: "builtins",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: "builtin" }));
    onLoad({ filter: /^node:/, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

/** The entry loads everything but the version from a file of its own. */
const cliApart: Plugin = {
  name: "cli-apart",
  setup({ onResolve }) {
    onResolve({ filter: /\/cli\/start\.ts$/ }, () => ({ path: "./cli.mjs", external: true }));
  },
};

const common = {
  outdir: dist,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  define,
} as const satisfies BuildOptions;

// One file for all commands: each is set up only when it is imported, and one file is read faster than thirty.
await build({ ...common, entryPoints: { cli: join(root, "src/cli/start.ts") }, plugins: [builtins] });
await build({
  ...common,
  entryPoints: { banger: join(root, "src/bin/banger.ts") },
  plugins: [cliApart, builtins],
});
await build({
  ...common,
  entryPoints: { bangerd: join(root, "src/bin/bangerd.ts") },
  // The loser of the lock, and a daemon that cannot start, load next to nothing.
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
});

// Started by the daemon as threads.
await build({
  ...common,
  entryPoints: {
    "capture-worker": join(root, "src/vmm/qemu/capture/worker.ts"),
    "image-file-worker": join(root, "src/image/file-work/worker.ts"),
    "image-worker": join(root, "src/image/layer/worker.ts"),
    "registry-worker": join(root, "src/registry/save/worker.ts"),
  },
});

// What Node compiles in a short command is kept for the user who builds.
spawnSync(node, [join(dist, "banger.mjs"), "daemon", "status"], { env: { BANGER_HOME: join(dist, "none") } });
