// What QEMU says of its disks, and what is understood of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Control } from "./control.ts";
import { diskId } from "./arguments.ts";
import { activeDisks } from "./disk-layers.ts";

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
