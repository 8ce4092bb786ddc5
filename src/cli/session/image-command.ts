// What "vm run" runs: the words behind "--", and what the image says.

/** What an image says is to be run. */
export interface ImageCommand {
  entrypoint: readonly string[];
  command: readonly string[];
}

export interface AskedFor {
  /** The words behind "--". */
  argv: readonly string[];
  /** `--entrypoint`; "" for none. */
  entrypoint: string | undefined;
  /** No repository is put into the VM. */
  withoutPath: boolean;
}

const shell = /^(?:\/(?:usr\/)?bin\/)?(?:ba|da|a|z|k|fi)?sh$/;

/**
 * The words to run; empty for the login shell. As in docker, words behind "--" take the place of the image's command and its
 * entrypoint stays in front of them. Without such words the image's own command runs, unless that is nothing but a shell, or a
 * repository is brought: who brings one wants to work in it.
 */
export function commandOf(image: ImageCommand, { argv, entrypoint, withoutPath }: AskedFor): readonly string[] {
  const first = entrypoint === undefined ? image.entrypoint : entrypoint === "" ? [] : [entrypoint];
  if (argv.length > 0) return [...first, ...argv];
  if (entrypoint !== undefined) return first;
  if (!withoutPath) return [];
  const own = [...first, ...image.command];
  return own.length === 1 && shell.test(own[0] ?? "") ? [] : own;
}
