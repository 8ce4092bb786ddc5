// What of the host's files comes to a guest: real files, real git, and tar as the judge of the stream.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { FileSync } from "../../config/file-sync.ts";
import { BangerError } from "../../lib/errors.ts";
import { createLogger, silentLogger } from "../../lib/log.ts";
import { quietProgress } from "../../lib/progress.ts";
import { createHostFiles } from "./host-files.ts";

const { signal } = new AbortController();
let base: string;
let home: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "banger-host-files-"));
  home = join(base, "home");
  mkdirSync(home);
});
afterEach(() => rmSync(base, { recursive: true }));

/** Copies to a guest whose /root is the directory "root" of the test. */
async function copy(...entries: (Omit<FileSync, "mode"> & { mode?: number })[]): Promise<string | undefined> {
  const root = join(base, "root");
  mkdirSync(root, { recursive: true });
  const fileSync = entries.map((entry) => ({ mode: 0o600, ...entry }));
  const files = createHostFiles({ fileSync, gitIdentity: false, log: silentLogger, home, env: {} });
  const agent = {
    async writeTar(directory: string, tar: Readable) {
      assert.equal(directory, "/root");
      execFileSync("tar", ["--extract", "--preserve-permissions", "--directory", root], { input: await buffer(tar) });
      return { entries: 0 };
    },
  };
  return await files.copy(agent, quietProgress(signal));
}

const inGuest = (name: string) => readFileSync(join(base, "root", name), "utf8");
const modeOf = (name: string) => (statSync(join(base, "root", name)).mode & 0o777).toString(8);

describe("file_sync", () => {
  test("files get the mode of their entry, directories and what is in them keep their own", async () => {
    writeFileSync(join(home, ".npmrc"), "token");
    const long = `${"n".repeat(150)} ü`;
    mkdirSync(join(home, "tool/sub/empty"), { recursive: true });
    writeFileSync(join(home, "tool/sub", long), "x".repeat(513));
    writeFileSync(join(home, "tool/run"), "#!/bin/sh\n");
    chmodSync(join(home, "tool/run"), 0o755);
    chmodSync(join(home, "tool/sub"), 0o700);
    const told = await copy(
      { host: "~/.npmrc", guest: "~/.npmrc" },
      { host: `${home}/tool/`, guest: "/root/.config//tool/", mode: 0o640 },
      { host: "~/.npmrc", guest: "~/deep/er/copy", mode: 0o644 },
    );
    assert.equal(told, "");
    assert.deepEqual([inGuest(".npmrc"), inGuest("deep/er/copy")], ["token", "token"]);
    assert.equal(inGuest(`.config/tool/sub/${long}`).length, 513);
    const names = [".npmrc", "deep/er/copy", ".config/tool/run", ".config/tool/sub"];
    assert.deepEqual(names.map(modeOf), ["600", "644", "755", "700"]);
    assert.ok(statSync(join(base, "root/.config/tool/sub/empty")).isDirectory());
  });

  test("links inside a directory are followed, out of it they are left out with a warning", async () => {
    mkdirSync(join(home, "tool/real"), { recursive: true });
    writeFileSync(join(base, "secret"), "secret");
    writeFileSync(join(home, "other"), "other");
    writeFileSync(join(home, "tool/real/file"), "real");
    symlinkSync("real/file", join(home, "tool/a-link"));
    symlinkSync("real", join(home, "tool/b-link"));
    symlinkSync("../other", join(home, "tool/c-out"));
    symlinkSync(join(base, "secret"), join(home, "tool/d-out"));
    symlinkSync("..", join(home, "tool/real/up"));
    symlinkSync("nowhere", join(home, "tool/e-gone"));
    execFileSync("mkfifo", [join(home, "tool/f-pipe")]);
    const told = await copy({ host: "~/tool", guest: "~/tool" });
    assert.equal(
      told,
      '"~/tool/b-link/up" was not copied: it leads to a directory above it; "~/tool/c-out" was not copied: it leads out of "~/tool"; ' +
        '"~/tool/d-out" was not copied: it leads out of "~/tool"; and 3 more',
    );
    assert.deepEqual([inGuest("tool/a-link"), inGuest("tool/b-link/file")], ["real", "real"]);
    const there = execFileSync("find", [".", "-not", "-type", "d"], { cwd: join(base, "root"), encoding: "utf8" });
    assert.deepEqual(there.trim().split("\n").toSorted(), ["./tool/a-link", "./tool/b-link/file", "./tool/real/file"]);
  });

  test("what is not there is a warning, and the rest is copied", async () => {
    writeFileSync(join(home, "there"), "there");
    symlinkSync("nowhere", join(home, "dangling"));
    const told = await copy(
      { host: "~/absent", guest: "~/absent" },
      { host: "~/dangling", guest: "~/dangling" },
      { host: "~/there", guest: "~/there" },
    );
    assert.equal(told, '"~/absent" was not copied: it is not there; "~/dangling" was not copied: it is not there');
    assert.equal(inGuest("there"), "there");
  });

  test("what leads out of the home directory, is too much or no file, ends the start; the entry is named", async () => {
    writeFileSync(join(base, "secret"), "secret");
    symlinkSync(join(base, "secret"), join(home, "link"));
    writeFileSync(join(home, "large"), "");
    truncateSync(join(home, "large"), 65 * 1024 ** 2);
    execFileSync("mkfifo", [join(home, "pipe")]);
    const refused = async (host: string, message: RegExp) => {
      await assert.rejects(copy({ host: "~/absent", guest: "~/x" }, { host, guest: "~/x" }), {
        code: "file.failed",
        message,
      });
    };
    await refused(
      "~/link",
      /^file_sync\[1\]: "~\/link" cannot be copied: it leads to ".*secret", which is outside of the home/,
    );
    await refused(join(base, "secret"), /outside of the home directory/);
    await refused("~/large", /more than 64\.0 MiB/);
    await refused("~/pipe", /neither a file nor a directory/);
  });

  test("nothing configured: the guest is not even asked", async () => {
    assert.equal(await copy(), undefined);
  });
});

describe("a guest that does not take the files", () => {
  const offer = async (refuse: (tar: Readable) => Promise<never>) => {
    const fileSync = [{ host: "~/file", guest: "~/file", mode: 0o600 }];
    const files = createHostFiles({ fileSync, gitIdentity: false, log: silentLogger, home, env: {} });
    return await files.copy({ writeTar: (_directory, tar) => refuse(tar) }, quietProgress(signal));
  };

  test("starts all the same, and its reason is told", async () => {
    writeFileSync(join(home, "file"), "x");
    const told = await offer(async (tar) => {
      await buffer(tar);
      throw new BangerError("file.failed", 'entry "file": no space left on device');
    });
    assert.equal(told, 'not all files were copied: entry "file": no space left on device');
    const gone = new BangerError("guest.unreachable", "gone");
    await assert.rejects(
      offer(async () => Promise.reject(gone)),
      gone,
    );
  });

  test("is not blamed for a file that went bad on this side", async () => {
    writeFileSync(join(home, "file"), "x");
    const swapped = offer(async (tar) => {
      rmSync(join(home, "file"));
      symlinkSync("/etc/hostname", join(home, "file"));
      await buffer(tar);
      throw new Error("not reached");
    });
    await assert.rejects(swapped, { code: "file.failed", message: /home\/file" cannot be copied: ELOOP/ });
  });
});

describe("git identity", () => {
  const reader = (env: NodeJS.ProcessEnv, lines: string[] = []) =>
    createHostFiles({ fileSync: [], gitIdentity: true, log: createLogger("debug", (line) => lines.push(line)), env });

  test("what git says of its user, asked again when its files change", async () => {
    const files = reader({ HOME: home });
    const read = () => files.gitIdentity({ signal });
    assert.equal(await read(), undefined);
    mkdirSync(join(home, ".config/git"), { recursive: true });
    writeFileSync(join(home, ".config/git/config"), '[user]\nname = "Ada \\"L\\""\n[user "x"]\nemail = no\n');
    assert.deepEqual(await read(), { name: 'Ada "L"', email: "" });
    writeFileSync(
      join(home, ".gitconfig"),
      "[user]\nemail = a@example.org\nname = Ada\nemail = b@example.org\nsigningkey = k\n",
    );
    assert.deepEqual(await read(), { name: "Ada", email: "b@example.org" });
    writeFileSync(join(home, ".gitconfig"), "[core]\npager = cat\n[user]\nname = Grace\n");
    assert.deepEqual((await read())?.name, "Grace");
  });

  test("while its files are the same, git is not run again", async () => {
    const bin = join(base, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "git"), `#!/bin/sh\necho run >>${base}/runs\nprintf 'user.name\\nAda\\0'\n`, {
      mode: 0o755,
    });
    writeFileSync(join(home, ".gitconfig"), "x");
    const before = process.env["PATH"];
    process.env["PATH"] = `${bin}:${before}`;
    try {
      const files = reader({ HOME: home });
      const all = await Promise.all([1, 2, 3].map(() => files.gitIdentity({ signal })));
      assert.deepEqual(
        [...all, await files.gitIdentity({ signal })],
        Array.from({ length: 4 }, () => ({ name: "Ada", email: "" })),
      );
      assert.equal(readFileSync(join(base, "runs"), "utf8"), "run\n");
    } finally {
      process.env["PATH"] = before;
    }
  });

  test("a file that git cannot read, and a name that is none, are no identity", async () => {
    const lines: string[] = [];
    writeFileSync(join(home, ".gitconfig"), "[user\n");
    assert.equal(await reader({ HOME: home }, lines).gitIdentity({ signal }), undefined);
    assert.match(lines.join(""), /git does not say who its user is.*bad config/);
    writeFileSync(join(home, ".gitconfig"), '[user]\nname = "a\\nb"\n');
    assert.equal(await reader({ HOME: home }).gitIdentity({ signal }), undefined);
    writeFileSync(join(home, ".gitconfig"), "[user]\nname = Ada\n");
    const off = createHostFiles({ fileSync: [], gitIdentity: false, log: silentLogger, env: { HOME: home } });
    assert.equal(await off.gitIdentity({ signal }), undefined);
  });
});
