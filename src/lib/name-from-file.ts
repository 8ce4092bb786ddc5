// A valid name for an image or kernel from the name of the file that it is made of.
import { basename } from "node:path";
import { BangerError } from "./errors.ts";

const endings = /\.(?:tar|tgz|txz|tzst|gz|xz|zst|deb|ext4)$/;

/** "/tmp/My Rootfs_1.tar.gz" -> "my-rootfs-1". Throws when nothing usable is left. */
export function nameFromFile(path: string): string {
  let stem = basename(path).toLowerCase();
  while (endings.test(stem)) stem = stem.replace(endings, "");
  const name = stem
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 63)
    .replace(/^-+|-+$/g, "");
  if (name === "") throw new BangerError("usage", `no name can be made from "${path}": give one with --name`);
  return name;
}
