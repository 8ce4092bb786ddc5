// Looks at file systems as the kernel shows them: mounts images, and lists all that can be seen of a tree.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Facts {
  /** Content, target or kind. */
  what: string;
  /** Mode, owner, time, names, device. */
  more: string;
}

/** Mounts an image read-only on the directory `at`, which is made, for as long as `use` runs. */
export function withMounted<T>(image: string, at: string, use: () => T): T {
  mkdirSync(at);
  const mounted = spawnSync("mount", ["-o", "ro,loop", image, at]);
  assert.equal(mounted.status, 0, mounted.stderr.toString());
  try {
    return use();
  } finally {
    const unmounted = spawnSync("umount", [at]);
    assert.equal(unmounted.status, 0, unmounted.stderr.toString());
  }
}

/** Every path of a tree with what is there; directories that were changed since `sinceS` have no time. */
export function factsOf(root: string, sinceS = Number.POSITIVE_INFINITY): Map<string, Facts> {
  const found = new Map<string, Facts>();
  const top = Buffer.from(root);
  const firstNames = new Map<bigint, string>();
  const look = (path: Buffer) => {
    const info = lstatSync(path, { bigint: true });
    const name = path.subarray(top.length + 1).toString("latin1");
    const time = info.isDirectory() && Number(info.mtimeNs / 1_000_000_000n) >= sinceS ? 0n : info.mtimeNs;
    const names = info.isDirectory() ? "" : ` = ${firstNames.get(info.ino) ?? (firstNames.set(info.ino, name), name)}`;
    const device = info.isCharacterDevice() || info.isBlockDevice() ? ` device ${info.rdev}` : "";
    const more = `${info.mode.toString(8)} ${info.uid}:${info.gid} ${time}${names}${device}`;
    if (info.isDirectory()) {
      found.set(name, { what: "directory", more });
      for (const child of readdirSync(path, { encoding: "buffer" }).toSorted((a, b) => a.compare(b))) {
        look(Buffer.concat([path, Buffer.from("/"), child]));
      }
    } else if (info.isSymbolicLink()) {
      found.set(name, { what: `-> ${readlinkSync(path, { encoding: "buffer" }).toString("latin1")}`, more });
    } else found.set(name, { what: info.isFile() ? readFileSync(path, "latin1") : "other", more });
  };
  look(top);
  return found;
}

/** The extended attributes of a tree, sorted, as text. */
export function attributesOf(root: string): string {
  const ran = spawnSync("getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."], {
    cwd: root,
    maxBuffer: 256 * 1024 ** 2,
  });
  assert.equal(ran.status, 0, ran.stderr.toString());
  return ran.stdout.toString("latin1").split("\n\n").toSorted().join("\n\n");
}
