// Images that can be made from the distribution's packages: recipes, and how mmdebstrap builds one.
import { PassThrough } from "node:stream";
import type { Readable } from "node:stream";
import { BangerError, diskFull } from "../lib/errors.ts";
import type { Progress } from "../lib/progress.ts";
import { findTool, run } from "../lib/run.ts";
import { untilDone } from "./tar/decompress.ts";

export interface ImageRecipe {
  name: string;
  description: string;
  architecture: string;
  suite: string;
  packages: readonly string[];
}

const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const basePackages =
  "git curl jq make procps iproute2 iputils-ping ca-certificates less python3-minimal python3 openssh-client".split(
    " ",
  );

export const imageCatalog: readonly ImageRecipe[] = [
  {
    name: "debian-bookworm",
    description: "Debian 12 with git, curl, jq, make and python3",
    architecture,
    suite: "bookworm",
    packages: basePackages,
  },
  {
    name: "debian-bookworm-dev",
    description: "Debian 12 for building software: compilers, debuggers, rsync, editors",
    architecture,
    suite: "bookworm",
    packages: [
      ...basePackages,
      ..."build-essential pkg-config gdb strace lsof file rsync vim-tiny sudo unzip xz-utils zstd".split(" "),
      ..."python3-venv python3-pip ripgrep tmux bash-completion locales".split(" "),
    ],
  },
];

/** Times of files that a build makes are cut to this (2023-06-10): the same packages give the same archive. */
const sourceDateEpoch = "1686355200";

const leftOut = ["doc", "info", "lintian", "locale", "man"];
const dpkgSettings = [
  // A sandbox is thrown away: its package manager need not wait for the disk.
  "force-unsafe-io",
  ...leftOut.map((folder) => `path-exclude=/usr/share/${folder}/*`),
  "path-include=/usr/share/doc/*/copyright",
  "path-include=/usr/share/locale/locale.alias",
];

/** The hooks are command lines that mmdebstrap runs with the new root as `$1`; nothing in them comes from outside. */
const options = [
  "--variant=minbase",
  "--mode=auto",
  "--format=tar",
  // Not as --dpkgopt: with that, mmdebstrap passes the first packages through a slow filter.
  `--setup-hook=mkdir -p "$1/etc/dpkg/dpkg.cfg.d"; printf '%s\\n' ${dpkgSettings.map((line) => `'${line}'`).join(" ")} >"$1/etc/dpkg/dpkg.cfg.d/90-sandbox"`,
  `--customize-hook=cd "$1/usr/share" && find ${leftOut.join(" ")} ! -type d ! -name copyright ! -name locale.alias -delete`,
  // Both come from the host; the guest gets its own.
  '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
];

/**
 * Starts building a recipe. `archive` is the root file system tar as it grows; it must be read to its end, and it fails
 * when the build does. `done` rejects with `image.build-failed`, `command.missing` or the signal's reason, after
 * everything that was started has ended. `temporary` takes the unpacked files while this runs as root; it is the
 * caller's to remove. `find` looks a tool up.
 */
export async function buildRecipe(
  recipe: ImageRecipe,
  temporary: string,
  progress: Progress,
  find: (tool: string) => string | undefined = findTool,
): Promise<{ archive: Readable; done: Promise<void> }> {
  const builder = find("mmdebstrap");
  if (builder === undefined) {
    throw new BangerError(
      "command.missing",
      `image "${recipe.name}" is built with mmdebstrap, which is not installed`,
      {
        hint: "sudo apt-get install mmdebstrap uidmap",
      },
    );
  }
  progress.stage("download", "package lists");
  const output = new PassThrough({ highWaterMark: 1024 * 1024 });
  // Without root, other user ids do the work, and those cannot enter a directory of mode 0700.
  const env: Record<string, string> = { SOURCE_DATE_EPOCH: sourceDateEpoch };
  if (process.getuid?.() === 0) env["TMPDIR"] = temporary;
  const [file = builder, ...before] = await confinement(progress.signal);
  const done = run({
    file,
    args: [
      ...(file === builder ? [] : [...before, builder]),
      ...options,
      `--include=${recipe.packages.join(",")}`,
      recipe.suite,
      "-",
      ...(await hostSources(recipe, progress)),
    ],
    env,
    output,
    onStderr: (text) => report(text, progress),
    timeoutMs: 30 * 60_000,
    // Without namespaces mmdebstrap needs time to unmount and remove what it made.
    graceMs: before.includes("--kill-child") ? 0 : 10_000,
    signal: progress.signal,
  }).then(
    () => {},
    (thrown: unknown) => {
      throw explain(thrown, recipe);
    },
  );
  return { archive: untilDone(output, done), done };
}

/**
 * The start of a command line under which the build leaves nothing behind, however it ends. It is ended when this process
 * dies. As root it has process and mount namespaces of its own: they end as a whole, at once, with all that is mounted.
 */
async function confinement(signal: AbortSignal): Promise<string[]> {
  const leash = (name: string) => (findTool("setpriv") === undefined ? [] : ["setpriv", "--pdeathsig", name]);
  const file = "unshare";
  const args = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  if (process.getuid?.() !== 0 || findTool(file) === undefined) return leash("TERM");
  // Root in a container may not be allowed to; mmdebstrap then does without mounts, too.
  const { exitCode } = await run({ file, args: [...args, "true"], okExitCodes: [0, 1], signal });
  return exitCode === 0 ? [...leash("KILL"), file, ...args] : leash("TERM");
}

/** What mmdebstrap says ("I: installing essential packages...") as stages. */
function report(text: string, progress: Progress): void {
  for (const line of text.split("\n")) {
    const step = /^I: (.*?)\.*$/.exec(line)?.[1];
    if (step === undefined) continue;
    if (step.startsWith("running apt-get update")) progress.stage("download", "package lists");
    else if (step.startsWith("downloading")) progress.stage("download", step.replace("downloading ", ""));
    else if (/^(?:extracting|installing|creating|cleaning)/.test(step)) progress.stage("build", step);
  }
}

/** Package sources of the host for this suite, so that its mirror is used; none when the host runs something else. */
async function hostSources(recipe: ImageRecipe, progress: Progress): Promise<string[]> {
  if (findTool("apt-get") === undefined) return [];
  const format = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)|$(ORIGIN)";
  const { stdout } = await run({
    file: "apt-get",
    args: ["indextargets", "--format", format, "Created-By: Packages"],
    okExitCodes: [0, 100],
    signal: progress.signal,
  });
  const lines = stdout
    .toString()
    .split("\n")
    .filter((line) => line.endsWith(" main|Debian"));
  const sources = [...new Set(lines.map((line) => line.slice(0, line.indexOf("|"))))];
  const ofSuite = sources.filter((line) => (line.split(" ")[2] ?? "").startsWith(recipe.suite));
  return ofSuite.some((line) => line.split(" ")[2] === recipe.suite) ? ofSuite : [];
}

function explain(thrown: unknown, recipe: ImageRecipe): Error {
  if (!(thrown instanceof BangerError) || thrown.code !== "command.failed") return thrown as Error;
  const { message } = thrown;
  if (/No space left on device|not have enough free space/i.test(message)) {
    return diskFull(`no space left to build image "${recipe.name}"`, thrown);
  }
  if (/unable to pick chroot mode|newuidmap|subuid/i.test(message)) {
    return new BangerError(
      "image.build-failed",
      `image "${recipe.name}" cannot be built as this user: mmdebstrap needs newuidmap and a range in /etc/subuid`,
      {
        cause: thrown,
        hint: "sudo apt-get install uidmap && sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
      },
    );
  }
  const errors = message.split("\n").filter((line) => /^(?:E|Err):/.test(line.trim()));
  const why = errors.at(-1)?.trim() ?? "see the cause";
  return new BangerError("image.build-failed", `cannot build image "${recipe.name}": ${why}`, { cause: thrown });
}
