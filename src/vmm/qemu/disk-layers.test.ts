// What QEMU says of its disks, and what is understood of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Control } from "./control.ts";
import { diskId } from "./arguments.ts";
import { activeDisks, growDisk } from "./disk-layers.ts";

const answering = (...blocks: unknown[]) => ({ command: async () => blocks }) as unknown as Control;
const disk = (serial: string, file: unknown, ro = false) => ({ device: diskId(serial), inserted: { file, ro } });

test("the file that each writable disk is written to, however QEMU names it", async () => {
  const chain = {
    driver: "qcow2",
    backing: { driver: "raw", file: { driver: "file", filename: "/vms/a/work.ext4" } },
    file: { driver: "file", filename: "/vms/a/work.1.s.qcow2" },
  };
  const control = answering(
    disk("base", "/images/x/rootfs.ext4", true),
    disk("overlay", "overlay.ext4"),
    disk("work", `json:${JSON.stringify(chain)}`),
    { device: "other", inserted: { file: "/y", ro: false } },
  );
  assert.deepEqual(
    [...(await activeDisks(control, "/vms/a"))],
    [
      ["overlay", "/vms/a/overlay.ext4"],
      ["work", "/vms/a/work.1.s.qcow2"],
    ],
  );
});

test("a disk without a file is told", async () => {
  for (const file of [undefined, "json:{}", "json:{", "json:null", 'json:{"file":{"filename":7}}']) {
    await assert.rejects(activeDisks(answering(disk("work", file)), "/vms/a"), /which file disk "work" is/);
  }
});

test("a disk grows by its name, never shrinks, and one that is not there is told", async () => {
  const commands: unknown[] = [];
  const control = {
    command: async (name: string, args?: unknown) => {
      commands.push([name, args]);
      return [{ device: diskId("work"), inserted: { image: { "virtual-size": 4096 } } }];
    },
  } as unknown as Control;
  assert.equal(await growDisk(control, "work", 8192), 8192);
  assert.deepEqual(commands.at(-1), ["block_resize", { device: diskId("work"), size: 8192 }]);
  commands.length = 0;
  assert.equal(await growDisk(control, "work", 2048), 4096);
  assert.deepEqual(
    commands.map((command) => (command as string[])[0]),
    ["query-block"],
  );
  await assert.rejects(growDisk(control, "other", 8192), { code: "vmm.failed" });
});
