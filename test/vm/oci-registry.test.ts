// Images of a registry, each of another kind, are pulled by `vm run` and run what they say: like Alpine, like distroless images,
// from scratch, and Debian. What an image lacks is said.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ImageRecord, VmRecord } from "../../src/api/records.ts";
import { type RealRegistry, startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { Home, smallVm, type StartOptions } from "../support/home.ts";
import { systemdTar } from "../support/init-images.ts";
import { busyboxLayer, distrolessLayers, pushImage, staticProgram } from "../support/small-images.ts";

/** Says what it was started with, fails when it is told to, and copies its input. */
const program = `package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	directory, _ := os.Getwd()
	fmt.Printf("%q %d:%d %s %s %s\\n", os.Args, os.Getuid(), os.Getgid(), directory, os.Getenv("GREETING"), os.Getenv("HOME"))
	if len(os.Args) > 1 && os.Args[1] == "fail" {
		os.Exit(42)
	}
	if len(os.Args) > 1 && os.Args[1] == "copy" {
		_, _ = io.Copy(os.Stdout, os.Stdin)
	}
}
`;
const entry = '#!/bin/sh\necho "$0 [$*] $(id -un) $(id -Gn) $(pwd) $GREETING $HOME"\nexit 7\n';
/** Perl is in every Debian; its modules are in many files. */
const script = `#!/usr/bin/perl
use strict; use POSIX; use Digest::SHA;
printf "%s %s %s %s\\n", (getpwuid($<))[0], $ENV{GREETING} // "", Digest::SHA::sha256_hex("x"), join(" ", @ARGV);
exit($ARGV[0] eq "fail" ? 13 : 0);
`;

describe("images of a registry in VMs", { concurrency: false }, () => {
  let directory: string;
  let registry: RealRegistry;
  let home: Home;
  let show: Buffer;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-oci-registry-"));
    registry = await startRegistry();
    home = new Home({ seeded: true });
    show = staticProgram(directory, "show", program);
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  const run = (image: string, words: readonly string[], options: StartOptions = {}) =>
    home.run(["vm", "run", "--rm", ...smallVm, "--image", image, ...words], options);
  const outcome = async (image: string, ...words: string[]) => {
    const { code, stdout } = await run(image, words);
    return [code, stdout];
  };
  const refused = async (image: string, words: readonly string[], code: number, message: RegExp) => {
    const ran = await run(image, words);
    assert.deepEqual([ran.code, ran.stdout], [code, ""], ran.stderr);
    assert.match(ran.stderr, message);
  };

  describe("like Alpine: busybox, a script as entrypoint, a user by name", { concurrency: false }, () => {
    let image: string;
    before(() => {
      image = `${registry.host}/library/alpine:3.20`;
      pushImage(directory, image, [busyboxLayer(directory), [{ path: "bin/entry", mode: 0o755, data: entry }]], {
        entrypoint: ["entry"],
        command: ["default"],
        environment: ["PATH=/bin", "GREETING=hello"],
        user: "app",
        workdir: "/home/app",
      });
    });

    test("it is pulled once, and runs", async () => {
      const first = await run(image, ["--", "a", "b c"]);
      assert.deepEqual([first.code, first.stdout], [7, "/bin/entry [a b c] app app log /home/app hello /home/app\n"]);
      assert.match(first.stderr, /download/);
      const second = await run(image, []);
      assert.deepEqual(
        [second.code, second.stdout],
        [7, "/bin/entry [default] app app log /home/app hello /home/app\n"],
      );
      assert.doesNotMatch(second.stderr, /download/);
      const { source, config } = await home.json<ImageRecord>(["image", "show", image]);
      assert.deepEqual([source, config.user, config.entrypoint], [`registry:${image}`, "app", ["entry"]]);
    });

    test("options change what the image says", async () => {
      const shell = ["--entrypoint", "/bin/sh", "--", "-c"];
      const changed = ["--user", "root", "--workdir", "/tmp", "-e", "GREETING=hi", "-e", "MORE=1", ...shell];
      assert.deepEqual(await outcome(image, ...changed, 'echo "$(id -u) $(pwd) $GREETING $MORE"; exit 9'), [
        9,
        "0 /tmp hi 1\n",
      ]);
      assert.deepEqual(await outcome(image, "--user", "app:log", ...shell, "id -gn"), [0, "log\n"]);
      assert.deepEqual(await outcome(image, "--user", "1234:55", "--entrypoint", "id"), [0, "uid=1234 gid=55\n"]);
      assert.deepEqual(await outcome(image, "--entrypoint", "", "--", "cat", "/etc/alpine-release"), [0, "3.20.0\n"]);
    });

    test("what it does not have is named", async () => {
      await refused(image, ["--user", "nobody"], 1, /user "nobody" is not in \/etc\/passwd.*exec\.failed/);
      await refused(image, ["--workdir", "/not/there"], 1, /working directory "\/not\/there": no such file/);
      await refused(image, ["--workdir", "there"], 2, /--workdir "there" is not an absolute path/);
      await refused(image, ["--entrypoint", "/bin/none"], 127, /command "\/bin\/none": no such file/);
      await refused(image, ["--entrypoint", "none"], 127, /command "none": not found in PATH \(\/bin\)/);
      await refused(`${registry.host}/library/none:1`, [], 1, /does not have the image.*image\.not-found/);
    });

    test("owners, modes and links arrived as they were sent", async () => {
      const look =
        "stat -c '%n %a %u:%g %F' /root /tmp /home/app /bin/sh /bin/busybox; cat /lib/apk/db/installed | wc -l";
      const { stdout } = await home.ok([
        "vm",
        "run",
        "--rm",
        ...smallVm,
        "--image",
        image,
        "--entrypoint",
        "sh",
        "--",
        "-c",
        look,
      ]);
      assert.deepEqual(stdout.trim().split("\n"), [
        "/root 700 0:0 directory",
        "/tmp 1777 0:0 directory",
        "/home/app 755 1000:1000 directory",
        "/bin/sh 777 0:0 symbolic link",
        "/bin/busybox 755 0:0 regular file",
        "3",
      ]);
    });
  });

  describe("like distroless images: one static program, no shell, nobody is root", { concurrency: false }, () => {
    let image: string;
    before(async () => {
      image = `${registry.host}/distroless/static:nonroot`;
      pushImage(directory, image, distrolessLayers(show), {
        entrypoint: ["/app/server"],
        command: ["--default"],
        environment: ["GREETING=hi"],
        user: "65532",
        workdir: "/home/nonroot",
      });
      await home.ok(["image", "pull", image]);
      await home.ok(["image", "tag", image, "another-name"]);
      await home.ok(["vm", "create", "--name", "bare", ...smallVm, "--image", image]);
      assert.equal((await home.json<VmRecord>(["vm", "show", "bare"])).image.name, image, "as it was asked for");
    });

    test("entrypoint and command, exit code, input, and a repository", async () => {
      const line = (...args: string[]) =>
        `["/app/server"${args.map((arg) => ` "${arg}"`).join("")}] 65532:65532 /home/nonroot hi /home/nonroot\n`;
      assert.deepEqual(await outcome(image), [0, line("--default")]);
      assert.deepEqual(await outcome(image, "--", "fail"), [42, line("fail")]);
      const copied = await run(image, ["--", "copy"], { stdin: "through it" });
      assert.deepEqual([copied.code, copied.stdout], [0, `${line("copy")}through it`]);
      const repository = join(directory, "repository");
      mkdirSync(repository);
      execFileSync("git", ["-C", repository, "init", "-q"]);
      writeFileSync(join(repository, "file"), "content");
      execFileSync("git", ["-C", repository, "add", "file"]);
      const inside = line("x").replace(" /home/nonroot ", " /root/repo ");
      assert.deepEqual(await outcome(image, repository, "--", "x"), [0, inside]);
      await refused(image, [repository], 127, /the guest has no shell: name a command/);
    });

    test("commands, files and ssh work without a shell, and what needs one says so", async () => {
      const exec = (...words: string[]) => home.run(["vm", "exec", "bare", ...words]);
      const said = await exec("--", "/app/server", "fail");
      assert.deepEqual(
        [said.code, said.stdout],
        [42, '["/app/server" "fail"] 65532:65532 /home/nonroot hi /home/nonroot\n'],
      );
      for (const [ran, message] of [
        [await exec("--", "sh", "-c", "true"), /command "sh": not found in PATH.*exec\.not-found/],
        [await exec(), /the guest has no shell: name a command.*exec\.not-found/],
        [await home.run(["vm", "ssh", "bare", "--", "true"]), /command "true": not found in PATH/],
        [await home.run(["vm", "ssh", "bare"]), /the guest has no shell: name a command/],
      ] as const) {
        assert.deepEqual([ran.code, ran.stdout], [127, ""], ran.stderr);
        assert.match(ran.stderr, message);
      }
      const overSsh = await home.run(["vm", "ssh", "bare", "--", "/app/server", "fail"]);
      assert.deepEqual([overSsh.code, overSsh.stdout], [42, '["/app/server" "fail"] 0:0 /root hi /root\n']);
    });

    test("files come out as they went in", async () => {
      const tree = join(directory, "tree");
      mkdirSync(tree);
      writeFileSync(join(tree, "file"), "content");
      await home.ok(["vm", "cp", tree, "bare:/tmp/"]);
      await home.ok(["vm", "cp", "bare:/tmp/tree", join(directory, "back")]);
      assert.equal(readFileSync(join(directory, "back/file"), "utf8"), "content");
      await home.ok(["vm", "cp", "bare:/app/server", join(directory, "server")]);
      assert.deepEqual(readFileSync(join(directory, "server")), show);
    });
  });

  test("from scratch: one program, no users, a working directory that no layer has", async () => {
    const image = `${registry.host}/scratch:1`;
    pushImage(directory, image, [[{ path: "show", data: show, mode: 0o755 }]], {
      entrypoint: ["/show"],
      workdir: "/data/new",
    });
    assert.deepEqual(await outcome(image, "--", "fail"), [42, '["/show" "fail"] 0:0 /data/new  /root\n']);
    assert.deepEqual(await outcome(image, "--user", "7:8", "--workdir", "/"), [0, '["/show"] 7:8 /  /\n']);
    await refused(image, ["--user", "app"], 1, /user "app" is not in \/etc\/passwd/);
  });

  test("Debian: its own programs, packages that are as they should be, files that an upper layer has removed", async () => {
    const image = `${registry.host}/team/debian-app:1.0`;
    const upper = [
      { path: "app", type: "5", mode: 0o755 },
      { path: "app/run.pl", data: script, mode: 0o755 },
      { path: "usr/share/.wh.doc", data: "" },
      { path: "etc/.wh.motd", data: "" },
    ] as const;
    pushImage(directory, image, [systemdTar(), upper], {
      entrypoint: ["/app/run.pl"],
      environment: ["GREETING=hello", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
      user: "www-data",
      workdir: "/app",
    });
    const sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert.deepEqual(await outcome(image, "--", "a"), [0, `www-data hello ${sum} a\n`]);
    assert.deepEqual(await outcome(image, "--", "fail"), [13, `www-data hello ${sum} fail\n`]);
    const look =
      "ls -d /usr/share/doc /etc/motd 2>&1 | wc -l; ls -d /usr/share/perl5; stat -c %a /usr/bin/passwd; " +
      "dpkg --verify perl-base libc6 dash coreutils | grep -v /usr/share/doc; su -s /bin/sh -c id www-data";
    const { stdout } = await home.ok([
      ...["vm", "run", "--rm", ...smallVm, "--image", image, "--user", "root", "--entrypoint", "bash"],
      ...["--", "-c", look],
    ]);
    assert.deepEqual(stdout.trim().split("\n"), [
      "2",
      "/usr/share/perl5",
      "4755",
      "uid=33(www-data) gid=33(www-data) groups=33(www-data)",
    ]);
  });
});
