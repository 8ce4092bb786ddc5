// How the nodes of QEMU's block layer hang together: disks, their layers, and the files that hold these.
import type { Control } from "./control.ts";

/** Nodes are told apart by QEMU's numbers, which hold for this answer only. */
export interface BlockGraph {
  /** Where a disk begins, by its name on the command line. */
  disk(name: string): number | undefined;
  /** A node by the name that it was given. */
  node(name: string): number | undefined;
  nameOf(id: number | undefined): string | undefined;
  /** What a node has below it: "root" of a disk, "file" or "backing" of a layer. */
  child(id: number | undefined, edge: "root" | "file" | "backing"): number | undefined;
  /** Whether a disk is written to, and read from, by this node. */
  isTop(id: number): boolean;
  names: readonly string[];
}

export async function readBlockGraph(control: Control): Promise<BlockGraph> {
  const answer = (await control.command("x-debug-query-block-graph")) as Partial<Answer> | null;
  const { nodes = [], edges = [] } = answer ?? {};
  const backends = nodes.filter(({ type }) => type === "block-backend");
  const drivers = nodes.filter(({ type }) => type === "block-driver");
  return {
    disk: (name) => backends.find((node) => node.name === name)?.id,
    node: (name) => drivers.find((node) => node.name === name)?.id,
    nameOf: (id) => nodes.find((node) => node.id === id)?.name,
    child: (id, name) => edges.find((edge) => edge.parent === id && edge.name === name)?.child,
    isTop: (id) => edges.some((edge) => edge.child === id && edge.name === "root"),
    names: drivers.map(({ name }) => name),
  };
}

interface Answer {
  nodes: { id: number; type: string; name: string }[];
  edges: { parent: number; child: number; name: string }[];
}
