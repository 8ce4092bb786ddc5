// Bundles one file for each process into dist/ and links the Node that runs them as dist/node.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

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
rmSync(join(dist, "chunks"), { recursive: true, force: true });
const node = join(dist, "node");
rmSync(node, { force: true });
symlinkSync(`../node_modules/node-linux-${process.arch}/bin/node`, node);

const define = {
  BANGER_VERSION: JSON.stringify(version),
  BANGER_COMMIT: JSON.stringify(commit()),
  BANGER_BUILT_AT: String(Date.now()),
};

await build({
  entryPoints: { banger: join(root, "src/bin/banger.ts"), bangerd: join(root, "src/bin/bangerd.ts") },
  outdir: dist,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  // Lazy imports stay lazy: in one file, the imports of every command would be loaded at each start.
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  platform: "node",
  target: "node24",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  define,
});
