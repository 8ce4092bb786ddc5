// What an image's config says of running it, in a VM: directories that it takes for granted, users by name, the stop signal.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { makeImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { Home, root, smallVm } from "../support/home.ts";

const program = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "show":
		directory, _ := os.Getwd()
		fmt.Printf("%d:%d in %s\\n", os.Getuid(), os.Getgid(), directory)
		for _, path := range os.Args[2:] {
			info, err := os.Stat(path)
			if err != nil {
				fmt.Println(err)
				continue
			}
			owner := info.Sys().(*syscall.Stat_t)
			fmt.Printf("%s %d:%d %s\\n", path, owner.Uid, owner.Gid, info.Mode())
		}
	case "serve":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals)
		fmt.Println("ready")
		for got := range signals {
			if got == syscall.SIGURG {
				continue // The runtime's own.
			}
			// Longer than other processes get.
			time.Sleep(3 * time.Second)
			os.WriteFile("/data/stopped", []byte(got.String()), 0o644)
			fmt.Println("stopped by " + got.String())
			os.Exit(7)
		}
	case "cat":
		content, _ := os.ReadFile(os.Args[2])
		fmt.Println(string(content))
	}
}
`;
const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n";
const group = "root:x:0:\nweb:x:34:\nstaff:x:50:\n";
const limitMs = 300_000;

describe("the config of an image", { concurrency: false }, () => {
  let directory: string;
  let home: Home;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-image-config-"));
    home = new Home({ seeded: true });
    writeFileSync(join(directory, "probe.go"), program);
    execFileSync(join(root, ".cache/bin/go"), ["build", "-o", "probe", "probe.go"], {
      cwd: directory,
      env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "" },
      stdio: "pipe",
    });
    const layer = [
      { path: "probe", data: readFileSync(join(directory, "probe")), mode: 0o755 },
      { path: "etc/passwd", data: passwd },
      { path: "etc/group", data: group },
      { path: "own", type: "5" as const, mode: 0o700, uid: 999, gid: 998 },
      { path: "in-the-way", data: "a file" },
    ];
    const config = {
      Entrypoint: ["/probe"],
      User: "web:staff",
      WorkingDir: "/srv/app/deep",
      Volumes: { "/data": {}, "/own": {}, "/in-the-way/below": {} },
      StopSignal: "SIGUSR1",
    };
    writeLayoutFiles(join(directory, "probe-image"), [{ image: makeImage([layer], { config }), name: "1" }]);
    await home.ok(["image", "import", join(directory, "probe-image"), "--name", "probe"]);
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  const run = async (...words: string[]) =>
    (await home.ok(["vm", "run", "--rm", ...smallVm, "--image", "probe", ...words])).stdout.split("\n").slice(0, -1);

  test("working directory and volumes are there; what the image has stays as it is", async () => {
    assert.deepEqual(await run("--", "show", "/srv/app", "/data", "/own"), [
      "33:50 in /srv/app/deep",
      "/srv/app 0:0 drwxr-xr-x",
      "/data 0:0 drwxr-xr-x",
      "/own 999:998 drwx------",
    ]);
  });

  test("users by name and number, with and without a group", async () => {
    const as = async (user: string) => (await run("--user", user, "--workdir", "/", "--", "show"))[0];
    assert.equal(await as("web"), "33:34 in /");
    assert.equal(await as("root:web"), "0:34 in /");
    assert.equal(await as("4321"), "4321:0 in /");
    const unknown = await home.run([
      "vm",
      "run",
      "--rm",
      ...smallVm,
      "--image",
      "probe",
      "--user",
      "nobody",
      "--",
      "show",
    ]);
    assert.match(unknown.stderr, /user "nobody" is not in \/etc\/passwd/);
  });

  test("vm stop asks what the image runs by its stop signal, and gives it time", async () => {
    const serving = home.start([
      "vm",
      "run",
      "--name",
      "box",
      ...smallVm,
      "--image",
      "probe",
      "--user",
      "0",
      "--",
      "serve",
    ]);
    const lines: string[] = [];
    const output = createInterface({ input: serving.stdout ?? process.stdin });
    output.on("line", (line) => lines.push(line));
    const ended = once(serving, "exit");
    await once(output, "line", { signal: AbortSignal.timeout(limitMs) });
    assert.deepEqual(lines, ["ready"]);
    await home.ok(["vm", "stop", "box"]);
    assert.deepEqual(await ended, [7, null]);
    assert.deepEqual(lines, ["ready", "stopped by user defined signal 1"]);
    await home.ok(["vm", "start", "box"]);
    assert.equal(
      (await home.ok(["vm", "exec", "box", "--", "/probe", "cat", "/data/stopped"])).stdout,
      "user defined signal 1\n",
    );
    await home.ok(["vm", "delete", "box"]);
  });
});
