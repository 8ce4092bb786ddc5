// Every directory, file and socket that banger puts on the host, in one place. docs/on-disk.md describes them.
import { chmodSync, closeSync, lstatSync, mkdirSync, openSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { BangerError } from "../lib/errors.ts";

export interface Paths {
  /** Short digest that tells the processes of one home from those of another (part of VMM process names). */
  homeId: string;
  configFile: string;
  /** Database, VMs, images, kernels, keys: what must not be lost. */
  stateDir: string;
  databaseFile: string;
  daemonLog: string;
  vmsDir: string;
  imagesDir: string;
  /** Further names of images. */
  imageTagsFile: string;
  /** References that were pulled with --insecure, and the images that they are. */
  insecureImagesFile: string;
  /** Where exports of images are that are being written. */
  imageExportsDir: string;
  kernelsDir: string;
  sshDir: string;
  /** What `banger registry login` keeps. */
  registryAuthFile: string;
  /** Values that guests use without having them; 0600. */
  secretsFile: string;
  /** Certificate and key of the authority that guests with secrets trust. */
  authorityDir: string;
  /** Frozen disks and memory, one directory each. */
  snapshotsDir: string;
  /** Rebuilt when lost: initramfs files, package downloads, probe results, memory templates. */
  cacheDir: string;
  templatesDir: string;
  /** Layers and documents of pulled images, by digest. */
  blobsDir: string;
  /** What guests changed, while it is looked at; each for some minutes. */
  exportsDir: string;
  /** Pointers to what is being applied to repositories, for the next daemon. */
  appliesDir: string;
  /** Sockets and lock; 0700. */
  runDir: string;
  daemonSocket: string;
  daemonLock: string;
}

/** Files of one VM, all below `vms/<id>/`. */
export interface VmPaths {
  dir: string;
  /** Memory of a paused VM, published whole: see src/vm/paused-memory.ts. */
  pausedDir: string;
  consoleLog: string;
  vmmLog: string;
  /** Identity of the running VMM: pid, start time, boot id of the host. */
  vmmFile: string;
  /** Sockets of the VMM: it runs with this directory as its working directory, so their names stay short. */
  agentSocket: string;
  qmpSocket: string;
}

/**
 * Where everything lies: below BANGER_HOME when it is set, else in the XDG directories of the user.
 * Pure: nothing is made.
 */
export function resolvePaths(env: Readonly<Record<string, string | undefined>> = process.env): Paths {
  const home = env["BANGER_HOME"];
  if (home !== undefined && home !== "") {
    const root = resolve(home);
    return layout(root, join(root, "config.toml"), join(root, "state"), join(root, "cache"), join(root, "run"));
  }
  const user = homedir();
  const xdg = (name: string, fallback: string) => {
    const value = env[name];
    return value !== undefined && isAbsolute(value) ? value : join(user, fallback);
  };
  const runtime = env["XDG_RUNTIME_DIR"];
  const runDir =
    runtime !== undefined && isAbsolute(runtime) ? join(runtime, "banger") : `/tmp/banger-runtime-${userInfo().uid}`;
  const state = join(xdg("XDG_STATE_HOME", ".local/state"), "banger");
  return layout(
    state,
    join(xdg("XDG_CONFIG_HOME", ".config"), "banger", "config.toml"),
    state,
    join(xdg("XDG_CACHE_HOME", ".cache"), "banger"),
    runDir,
  );
}

function layout(identity: string, configFile: string, stateDir: string, cacheDir: string, runDir: string): Paths {
  return {
    // Only what deals with VMMs asks for it, and loading node:crypto takes a client longer than the rest of its call.
    get homeId() {
      const { createHash } = process.getBuiltinModule("node:crypto");
      return createHash("sha256").update(identity).digest("hex").slice(0, 12);
    },
    configFile,
    stateDir,
    databaseFile: join(stateDir, "banger.db"),
    daemonLog: join(stateDir, "bangerd.log"),
    vmsDir: join(stateDir, "vms"),
    imagesDir: join(stateDir, "images"),
    imageTagsFile: join(stateDir, "image-tags.json"),
    insecureImagesFile: join(stateDir, "insecure-images.json"),
    imageExportsDir: join(stateDir, "image-exports"),
    kernelsDir: join(stateDir, "kernels"),
    sshDir: join(stateDir, "ssh"),
    registryAuthFile: join(stateDir, "registry-auth.json"),
    secretsFile: join(stateDir, "secrets.json"),
    authorityDir: join(stateDir, "authority"),
    snapshotsDir: join(stateDir, "snapshots"),
    cacheDir,
    templatesDir: join(cacheDir, "templates"),
    blobsDir: join(cacheDir, "blobs"),
    exportsDir: join(cacheDir, "exports"),
    appliesDir: join(stateDir, "applies"),
    runDir,
    daemonSocket: join(runDir, "bangerd.sock"),
    daemonLock: join(runDir, "bangerd.lock"),
  };
}

/** Files of one VM. */
export function vmPaths(paths: Paths, vmId: string): VmPaths {
  // Called several times for each VM of a list: one join is enough, as the rest are plain names.
  const dir = join(paths.vmsDir, vmId);
  return {
    dir,
    pausedDir: `${dir}/paused`,
    consoleLog: `${dir}/console.log`,
    vmmLog: `${dir}/vmm.log`,
    vmmFile: `${dir}/vmm.json`,
    agentSocket: `${dir}/agent.sock`,
    qmpSocket: `${dir}/qmp.sock`,
  };
}

/** Makes the directories, 0700. A run directory that is a link or belongs to somebody else is refused. */
export async function ensurePaths(paths: Paths): Promise<void> {
  for (const path of [
    paths.stateDir,
    paths.vmsDir,
    paths.imagesDir,
    paths.kernelsDir,
    paths.sshDir,
    paths.snapshotsDir,
    paths.cacheDir,
    paths.templatesDir,
    paths.runDir,
  ]) {
    makeDirectory(path);
  }
  for (const path of [paths.stateDir, paths.runDir]) {
    const info = lstatSync(path);
    if (!info.isDirectory() || info.uid !== process.getuid?.()) {
      throw new BangerError("daemon.start-failed", `"${path}" is not a directory of yours`, {
        hint: `ls -ld ${path}  # then remove it or set BANGER_HOME`,
      });
    }
    if ((info.mode & 0o077) !== 0) chmodSync(path, 0o700);
  }
}

const notWritable = ["EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST", "ENOENT"];

function makeDirectory(path: string): void {
  try {
    makeWithParents(path);
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!notWritable.includes(code)) throw error;
    throw new BangerError("daemon.start-failed", `cannot make the directory "${path}": ${message}`, {
      cause: error,
      hint: `BANGER_HOME=<directory of yours> banger …  # or make "${path}" writable`,
    });
  }
}

/** Node's own recursive mkdir never ends where the kernel answers ENOENT for an existing parent (/proc). */
function makeWithParents(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return;
  makeWithParents(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** The kernel's limit for a unix socket path, with its closing zero. */
const socketPathLimit = 108;

/**
 * A name for `path` that fits a unix socket address whatever the length of its directory: the path itself, or one through an open
 * descriptor of the directory. Keep it undisposed while the name is in use (until connected; for a server, until closed).
 */
export function socketAddress(path: string): { address: string } & Disposable {
  if (Buffer.byteLength(path) < socketPathLimit) return { address: path, [Symbol.dispose]() {} };
  const slash = path.lastIndexOf("/");
  const fd = openSync(path.slice(0, slash), "r");
  return { address: `/proc/self/fd/${fd}${path.slice(slash)}`, [Symbol.dispose]: () => closeSync(fd) };
}
