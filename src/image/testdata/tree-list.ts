// Trees and directories as lists that can be compared: path and content, target or kind.
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { DirectoryNode, TreeNode } from "../tree.ts";

const contentText = (bytes: Buffer) => `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}`;

/** What a tree holds, by path; `contentOf` gives the bytes of a file. Devices and pipes are left out. */
export function listTree(root: DirectoryNode, contentOf: (node: TreeNode) => Buffer | undefined): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (node: DirectoryNode, prefix: string) => {
    for (const [name, child] of node.children) {
      const path = `${prefix}/${name}`;
      if (child.type === "file") found.set(path, contentText(contentOf(child) ?? Buffer.alloc(0)));
      else if (child.type === "directory") {
        found.set(path, "directory");
        walk(child, path);
      } else if (child.type === "symlink") found.set(path, `-> ${child.target}`);
    }
  };
  walk(root, "");
  return found;
}

/** The same of a directory of the host. */
export function listDirectory(at: Buffer, prefix = "", found = new Map<string, string>()): Map<string, string> {
  for (const name of readdirSync(at, { encoding: "buffer" })) {
    const path = `${prefix}/${name.toString("latin1")}`;
    const full = Buffer.concat([at, Buffer.from("/"), name]);
    const info = lstatSync(full);
    if (info.isDirectory()) {
      found.set(path, "directory");
      listDirectory(full, path, found);
    } else if (info.isSymbolicLink()) {
      found.set(path, `-> ${readlinkSync(full, { encoding: "buffer" }).toString("latin1")}`);
    } else if (info.isFile()) found.set(path, contentText(readFileSync(full)));
  }
  return found;
}
