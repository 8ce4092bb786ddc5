// Makes kernels and modules for tests: the smallest files that are what they say.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A bzImage with a version text and `payloadBytes` of kernel. */
export function bzImage(release: string, payloadBytes = 4096): Buffer {
  const setupSectors = 2;
  const image = Buffer.alloc((setupSectors + 1) * 512 + payloadBytes, 0x90);
  image.fill(0, 0, (setupSectors + 1) * 512);
  image.writeUInt8(setupSectors, 0x1f1);
  image.writeUInt32LE(payloadBytes / 16, 0x1f4);
  image.write("HdrS", 0x202, "latin1");
  image.writeUInt16LE(0x020f, 0x206);
  image.writeUInt16LE(0x400 - 0x200, 0x20e);
  image.write(`${release} (builder@host) #1 SMP\0`, 0x400, "latin1");
  return image;
}

/** An ELF kernel for `machine` (62: x86-64) with a version text somewhere in it. */
export function vmlinux(release: string, machine = 62): Buffer {
  const image = Buffer.alloc(8192);
  image.writeUInt32BE(0x7f454c46, 0);
  image.writeUInt16LE(machine, 18);
  image.write(`Linux version ${release} (builder@host)\0`, 5000, "latin1");
  return image;
}

/** A module: an ELF file whose .modinfo section holds the given texts. */
export function moduleFile(...info: string[]): Buffer {
  const names = Buffer.from("\0.shstrtab\0.modinfo\0", "latin1");
  const modinfo = Buffer.from(info.map((text) => `${text}\0`).join(""), "latin1");
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  const namesAt = 64;
  const modinfoAt = namesAt + names.length;
  const tableAt = modinfoAt + modinfo.length;
  header.writeBigUInt64LE(BigInt(tableAt), 0x28);
  header.writeUInt16LE(64, 0x3a);
  header.writeUInt16LE(3, 0x3c);
  header.writeUInt16LE(1, 0x3e);
  const section = (name: number, offset: number, size: number) => {
    const entry = Buffer.alloc(64);
    entry.writeUInt32LE(name, 0);
    entry.writeBigUInt64LE(BigInt(offset), 0x18);
    entry.writeBigUInt64LE(BigInt(size), 0x20);
    return entry;
  };
  const sections = [section(0, 0, 0), section(1, namesAt, names.length), section(11, modinfoAt, modinfo.length)];
  return Buffer.concat([header, names, modinfo, ...sections]);
}

/** Writes files below a directory; values are contents. */
export function writeTree(directory: string, files: Record<string, Buffer | string>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
}

/** What every guest needs, as modules with the dependencies that they have in Debian. */
export const virtioModules: Record<string, Buffer> = {
  "kernel/drivers/virtio/virtio.ko": moduleFile("name=virtio", "depends=virtio_ring"),
  "kernel/drivers/virtio/virtio_ring.ko": moduleFile("depends="),
  "kernel/drivers/virtio/virtio_mmio.ko": moduleFile("depends=virtio,virtio_ring"),
  "kernel/drivers/char/virtio_console.ko": moduleFile("depends=virtio_ring,virtio"),
  "kernel/drivers/net/virtio_net.ko": moduleFile("depends=virtio,net-failover,virtio_ring"),
  "kernel/drivers/net/net_failover.ko": moduleFile("depends=failover"),
  "kernel/net/core/failover.ko": moduleFile("depends="),
  "kernel/drivers/block/virtio_blk.ko": moduleFile("depends=virtio_ring,virtio"),
  "kernel/fs/overlayfs/overlay.ko": moduleFile("depends=", "softdep=pre: crypto-thing absent post: later"),
  "kernel/crypto/crypto-thing.ko": moduleFile("depends="),
  "kernel/unrelated.ko": moduleFile("depends="),
};
