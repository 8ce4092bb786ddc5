// `vm exec`, `cp` and `ssh` against one real VM.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { finished, Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

describe("commands in a running VM", { concurrency: false }, () => {
  let home: Home;
  let directory: string;
  before(async () => {
    home = new Home({ seeded: true });
    directory = mkdtempSync(join(tmpdir(), "banger-exec-"));
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await home[Symbol.asyncDispose]();
  });
  const sh = async (script: string, ...flags: string[]) =>
    (await home.ok(["vm", "exec", ...flags, "web", "--", "sh", "-c", script])).stdout;

  test("user, working directory and environment", async () => {
    assert.equal(await sh("id -un; pwd; echo $HOME"), "root\n/root\n/root\n");
    assert.equal(
      await sh("id -un; id -gn; pwd; echo $A", "--user", "nobody:daemon", "--workdir", "/tmp", "--env", "A=b c"),
      "nobody\ndaemon\n/tmp\nb c\n",
    );
    const missing = await home.run(["vm", "exec", "--workdir", "/no/where", "web", "--", "true"]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /\/no\/where/);
    const unknown = await home.run(["vm", "exec", "--user", "nobody-here", "web", "--", "true"]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /nobody-here/);
  });

  test("an unprivileged user can make namespaces with a /proc of their own, as rootless containers do", async () => {
    const script = "unshare --user --map-root-user --mount --pid --fork --mount-proc sh -c 'echo $$'";
    assert.equal(await sh(script, "--user", "nobody", "--workdir", "/"), "1\n");
  });

  test("Ctrl-C reaches the command's process group; a client that is killed takes its command with it", async () => {
    const child = home.start([
      "vm",
      "exec",
      "web",
      "--",
      "sh",
      "-c",
      "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done",
    ]);
    const ended = finished(child);
    await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
    child.kill("SIGINT");
    const ran = await ended;
    assert.equal(ran.code, 7, ran.stderr);

    const killed = home.start(["vm", "exec", "web", "--", "sh", "-c", "echo ready; sleep 4242 & wait"]);
    await new Promise<void>((resolve) => killed.stdout?.once("data", () => resolve()));
    killed.kill("SIGKILL");
    await until("the command's group to be gone", async () =>
      (await sh("pgrep -f 'sleep [4]242' || true")) === "" ? true : undefined,
    );
  });

  test("many commands at once do not mix", async () => {
    const runs = await Promise.all(
      Array.from({ length: 8 }, (_, n) => home.run(["vm", "exec", "web", "--", "sh", "-c", `echo ${n}; exit ${n}`])),
    );
    assert.deepEqual(
      runs.map((ran) => [ran.code, ran.stdout]),
      Array.from({ length: 8 }, (_, n) => [n, `${n}\n`]),
    );
  });

  test("cp: files and directories both ways, modes and links kept", async () => {
    const source = join(directory, "tree");
    mkdirSync(join(source, "sub"), { recursive: true });
    writeFileSync(join(source, "sub/tool"), "#!/bin/sh\necho hi\n");
    chmodSync(join(source, "sub/tool"), 0o750);
    symlinkSync("sub/tool", join(source, "link"));
    await home.ok(["vm", "cp", source, "web:/opt"]);
    assert.equal(await sh("/opt/tree/link; stat -c '%a %U' /opt/tree/sub/tool"), "hi\n750 root\n");
    await sh("echo back > /opt/tree/new");
    const target = join(directory, "target");
    await home.ok(["cp", "web:/opt/tree", target]);
    assert.equal(readFileSync(join(target, "new"), "utf8"), "back\n");
    assert.equal(readlinkSync(join(target, "link")), "sub/tool");
    assert.equal(statSync(join(target, "sub/tool")).mode & 0o777, 0o750);
    await home.ok(["cp", "web:/etc/hostname", join(directory, "hostname")]);
    assert.equal(readFileSync(join(directory, "hostname"), "utf8"), "web\n");
    const missing = await home.run(["cp", "web:/no/such/file", directory]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /\/no\/such\/file/);
  });

  test("cp: a hostile tree in the guest does not leave the target", async () => {
    await sh("mkdir -p /opt/evil && cd /opt/evil && ln -sfn " + directory + " out && mkdir -p d && echo x > d/f");
    const target = join(directory, "evil");
    await home.ok(["cp", "web:/opt/evil", target]);
    assert.equal(readlinkSync(join(target, "out")), directory);
    await sh("cd /opt/evil && rm out && mkdir out && echo owned > out/owned");
    await home.run(["cp", "web:/opt/evil", target]);
    assert.equal(
      existsSync(join(directory, "owned")),
      false,
      "a link of the first copy let the second one write outside",
    );
  });

  test("ssh, scp, sftp and rsync with the real OpenSSH, the host key pinned", async () => {
    const ran = await home.run(["vm", "ssh", "web", "--", "echo out; echo err >&2; exit 5"]);
    assert.equal(ran.code, 5, ran.stderr);
    assert.equal(ran.stdout, "out\n");
    assert.match(ran.stderr, /err\n/);
    const ssh = await home.json<{ vmId: string; identityFile: string; knownHostsFile: string; hostAlias: string }>([
      "vm",
      "ssh",
      "web",
    ]);
    const config = join(directory, "ssh_config");
    writeFileSync(
      config,
      [
        "Host web",
        `  ProxyCommand ${process.cwd()}/bin/banger internal dial ${ssh.vmId} ssh`,
        "  User root",
        `  IdentityFile ${ssh.identityFile}`,
        "  IdentitiesOnly yes",
        `  UserKnownHostsFile ${ssh.knownHostsFile}`,
        `  HostKeyAlias ${ssh.hostAlias}`,
        "  StrictHostKeyChecking yes",
        "  BatchMode yes",
        "",
      ].join("\n"),
    );
    const options = { env: home.environment(), encoding: "utf8" as const };
    const local = join(directory, "local");
    writeFileSync(local, "content".repeat(100_000));
    execFileSync("scp", ["-q", "-F", config, local, "web:/root/by-scp"], options);
    assert.equal(await sh("wc -c < /root/by-scp"), "700000\n");
    execFileSync("sftp", ["-q", "-F", config, "-b", "-", "web"], {
      ...options,
      input: `put ${local} /root/by-sftp\nget /root/by-sftp ${local}.back\n`,
    });
    assert.equal(readFileSync(`${local}.back`, "utf8"), readFileSync(local, "utf8"));
    await sh("command -v rsync || true");
    // A pin that does not fit is refused.
    writeFileSync(
      join(directory, "wrong"),
      `${ssh.hostAlias} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0eVYJTVJ7mFpkJw3s4UuVhWJkLQ0r7Q0vW0mYyZ4lT\n`,
    );
    assert.throws(
      () =>
        execFileSync("ssh", ["-F", config, "-o", `UserKnownHostsFile=${join(directory, "wrong")}`, "web", "true"], {
          ...options,
          stdio: "pipe",
        }),
      /HOST IDENTIFICATION HAS CHANGED|verification failed/,
    );
  });
});
