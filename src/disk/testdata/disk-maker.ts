// A process that makes disks and layers one after the other until it is killed; says on stdout how many it has made.
import { join } from "node:path";
import { ensureDisk } from "../blank.ts";
import { createLayer } from "../layer.ts";

const [directory = ""] = process.argv.slice(2);
const { signal } = new AbortController();
for (let count = 0; ; count++) {
  const base = join(directory, `${count}.ext4`);
  await ensureDisk(base, "work", 64 * 1024 ** 2, signal, join(directory, "cache"));
  const backing = { path: base, format: "raw" } as const;
  await createLayer(join(directory, `${count}.qcow2`), { sizeBytes: 64 * 1024 ** 2, backing }, { signal });
  process.stdout.write(`${count}\n`);
}
