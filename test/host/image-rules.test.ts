// Images on which tools disagree: each is what umoci makes of it, entry by entry, or what the rules of this project say instead.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, describe, test } from "node:test";
import { buildRootfs } from "../../src/image/layer/build.ts";
import { defaultLimits } from "../../src/image/layer/limits.ts";
import { archive } from "../../src/image/testdata/archive.ts";
import { assertSound } from "../../src/image/testdata/ext4.ts";
import { quietProgress } from "../../src/lib/progress.ts";
import { specialImages } from "../support/special-images.ts";
import type { SpecialImage } from "../support/special-images.ts";
import { unpackWithUmoci } from "../support/umoci.ts";

const startedAt = Math.floor(Date.now() / 1000);
const directory = mkdtempSync(join(tmpdir(), "banger-rules-"));
after(() => rmSync(directory, { recursive: true }));

interface Facts {
  /** Content, target or kind. */
  what: string;
  /** Mode, owner, time, names, device. */
  more: string;
}

/** Every path of a tree with what is there. */
function factsOf(root: string): Map<string, Facts> {
  const found = new Map<string, Facts>();
  const top = Buffer.from(root);
  const firstNames = new Map<bigint, string>();
  const look = (path: Buffer) => {
    const info = lstatSync(path, { bigint: true });
    const name = path.subarray(top.length + 1).toString("latin1");
    // What nothing says a time of has none here, and that of its making elsewhere.
    const time = info.isDirectory() && Number(info.mtimeNs / 1_000_000_000n) >= startedAt ? 0n : info.mtimeNs;
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
  const ran = spawnSync("getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."], { cwd: root });
  assert.equal(ran.status, 0, ran.stderr.toString());
  found.set("attributes", { what: ran.stdout.toString("latin1").split("\n\n").toSorted().join("\n\n"), more: "" });
  return found;
}

async function build(image: SpecialImage, target: string): Promise<void> {
  const layers = image.layers.map((content, index) => ({
    label: `L${index + 1}`,
    diffId: undefined,
    open: async () => Readable.from([tarOf(content)]),
  }));
  const progress = quietProgress(new AbortController().signal);
  await buildRootfs({ layers, target, kind: "layers", limits: defaultLimits }, progress);
}

const tarOf = (content: SpecialImage["layers"][number]): Buffer =>
  Buffer.isBuffer(content) ? content : archive(content);

function withMounted<T>(image: string, at: string, use: () => T): T {
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

async function check(image: SpecialImage): Promise<void> {
  const own = mkdtempSync(join(directory, "image-"));
  const target = join(own, "rootfs.ext4");
  const { refused, umoci, gives } = image;
  const isTried = umoci?.startsWith("not tried") !== true;
  const reference = isTried ? unpackWithUmoci(own, image.layers.map(tarOf)) : undefined;
  if (refused !== undefined) {
    await assert.rejects(build(image, target), { code: "image.invalid", message: refused });
    if (umoci === undefined) assert.equal(reference?.root, undefined, "umoci takes it");
    return;
  }
  await build(image, target);
  assertSound(target);
  const found = withMounted(target, join(own, "mounted"), () => factsOf(join(own, "mounted")));
  found.delete("lost+found");
  const wanted = reference?.root === undefined ? undefined : factsOf(reference.root);
  for (const [name, { what, more }] of wanted ?? []) {
    // Umoci does not set a directory's time again after it has changed what is in it.
    const mine = found.get(name);
    if (what === "directory" && more.endsWith(" 0") && mine !== undefined) mine.more = mine.more.replace(/ \d+$/, " 0");
  }
  if (gives === undefined) {
    assert.equal(umoci, undefined, "what is not as umoci has it says what it is");
    assert.ok(wanted !== undefined, `umoci refuses it: ${reference?.said}`);
    assert.deepEqual(found, wanted);
    return;
  }
  if (isTried) assert.notDeepEqual(wanted, found, "umoci has the same: nothing has to be said of it");
  for (const name of ["", "attributes"]) found.delete(name);
  assert.deepEqual(Object.fromEntries([...found].map(([path, { what }]) => [path, what])), gives);
}

for (const [area, images] of Object.entries(specialImages)) {
  describe(area, () => {
    for (const [name, image] of Object.entries(images)) test(name, () => check(image));
  });
}
