// The command line of a running VM's QEMU as that of another machine: same shape, with a name and disks of its own.

export interface CopiedDisk {
  /** The serial that the guest knows it by. */
  serial: string;
  /** The running VM's file; only its size is looked at. */
  original: string;
  /** What the copy writes to: the caller makes it. */
  path: string;
}

export interface CopiedArguments {
  args: string[];
  /** Those that are written to; read-only ones are shared. */
  disks: CopiedDisk[];
}

/** Pure. `args` without the program; sockets and logs in them are relative names already. */
export function copyArguments(args: readonly string[], dir: string): CopiedArguments {
  const disks: CopiedDisk[] = [];
  const changed = args.map((argument, index) => {
    const option = args[index - 1];
    if (option === "-name") return "banger-bench";
    if (option !== "-drive" || argument.includes("readonly=on")) return argument;
    const [, before, id = "", original = "", behind] = /^(id=([\w-]+),file=)((?:[^,]|,,)+)(,.*)$/.exec(argument) ?? [];
    const serial = new RegExp(`\\bdrive=${id},serial=([\\w-]+)`).exec(args.join(" "))?.[1];
    if (before === undefined || serial === undefined) throw new Error(`not understood: -drive ${argument}`);
    const path = `${dir}/${serial}.img`;
    disks.push({ serial, original: original.replaceAll(",,", ","), path });
    return `${before}${path.replaceAll(",", ",,")}${behind}`;
  });
  return { args: changed, disks };
}

/** The value of an option that stands once; undefined when it is not there. */
export function optionOf(args: readonly string[], name: string): string | undefined {
  const at = args.indexOf(name);
  return at === -1 ? undefined : args[at + 1];
}

/** The memory file that a restored machine maps; undefined for one that booted. */
export function memoryFileOf(args: readonly string[]): string | undefined {
  const [, path] = /\bmem-path=((?:[^,]|,,)+)/.exec(optionOf(args, "-object") ?? "") ?? [];
  return path?.replaceAll(",,", ",");
}
