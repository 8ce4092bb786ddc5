// Images in the OCI format boot and run what they say: from scratch with one static binary, and with a shell.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ImageRecord } from "../../src/api/records.ts";
import { makeImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { Home, root, smallVm } from "../support/home.ts";

const program = `package main

import (
	"fmt"
	"os"
)

func main() {
	directory, _ := os.Getwd()
	fmt.Printf("%q %d:%d %s %s\\n", os.Args, os.Getuid(), os.Getgid(), directory, os.Getenv("GREETING"))
	if len(os.Args) > 1 && os.Args[1] == "fail" {
		os.Exit(42)
	}
}
`;

describe("OCI images in VMs", { concurrency: false }, () => {
  let directory: string;
  let home: Home;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "banger-oci-vm-"));
    home = new Home({ seeded: true });
    writeFileSync(join(directory, "show.go"), program);
    execFileSync(join(root, ".cache/bin/go"), ["build", "-o", "show", "show.go"], {
      cwd: directory,
      env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "" },
      stdio: "pipe",
    });
    const show = readFileSync(join(directory, "show"));
    const image = makeImage([[{ path: "show", data: show, mode: 0o755 }], [{ path: "work", type: "5", mode: 0o755 }]], {
      config: {
        Entrypoint: ["/show"],
        Cmd: ["default"],
        Env: ["GREETING=hello"],
        User: "1000:1001",
        WorkingDir: "/work",
        StopSignal: "SIGINT",
        ExposedPorts: { "80/tcp": {} },
      },
    });
    writeLayoutFiles(join(directory, "scratch"), [{ image, name: "1.0" }]);
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  test("an image from scratch with one static binary: entrypoint, command, environment, user, directory", async () => {
    assert.equal((await home.ok(["image", "import", join(directory, "scratch")])).stdout, "scratch:1.0\n");
    const { config } = await home.json<ImageRecord>(["image", "show", "scratch:1.0"]);
    assert.deepEqual([config.entrypoint, config.exposedPorts, config.stopSignal], [["/show"], ["80/tcp"], "SIGINT"]);
    const run = (...words: string[]) => home.run(["vm", "run", "--rm", ...smallVm, "--image", "scratch:1.0", ...words]);
    assert.equal((await run()).stdout, '["/show" "default"] 1000:1001 /work hello\n');
    const failed = await run("--", "fail", "x");
    assert.deepEqual([failed.code, failed.stdout], [42, '["/show" "fail" "x"] 1000:1001 /work hello\n']);
    const other = await run(
      "--entrypoint",
      "",
      "--user",
      "0",
      "--workdir",
      "/",
      "-e",
      "GREETING=hi",
      "--",
      "/show",
      "x",
    );
    assert.equal(other.stdout, '["/show" "x"] 0:0 / hi\n');
    assert.deepEqual(await home.vms(), []);
  });

  test("an image that is used cannot be deleted, by whichever name", async () => {
    await home.ok(["image", "tag", "scratch:1.0", "mine"]);
    await home.ok(["vm", "create", "--name", "user", ...smallVm, "--image", "mine", "--no-start"]);
    const refused = await home.run(["image", "delete", "scratch:1.0"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /"user".*image\.in-use/);
    await home.ok(["vm", "delete", "user"]);
    await home.ok(["image", "delete", "mine"]);
  });
});
