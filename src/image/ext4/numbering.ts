// Gives every file of a tree its inode number.
import type { DirectoryNode, TreeNode } from "../tree.ts";
import { firstFreeInode } from "./superblock.ts";

export interface NumberedNode {
  node: TreeNode;
  inode: number;
  /** Inode of the directory that it was first found in. */
  parent: number;
}

/** The root is inode 2; the others count from the first free one, in the order of the tree, level by level. */
export function numberInodes(root: DirectoryNode): { nodes: NumberedNode[]; numbers: Map<TreeNode, number> } {
  const numbers = new Map<TreeNode, number>([[root, 2]]);
  const nodes: NumberedNode[] = [{ node: root, inode: 2, parent: 2 }];
  let next = firstFreeInode;
  for (const item of nodes) {
    if (item.node.type !== "directory") continue;
    for (const child of item.node.children.values()) {
      if (numbers.has(child)) continue;
      numbers.set(child, next);
      nodes.push({ node: child, inode: next, parent: item.inode });
      next++;
    }
  }
  return { nodes, numbers };
}
