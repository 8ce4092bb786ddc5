// Tools that run over SSH, with the real OpenSSH: rsync, git both ways, a forwarded port, an agent, a shared connection.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { Home, root } from "../support/home.ts";
import { until } from "../support/until.ts";

const execute = promisify(execFile);

describe("tools over ssh", { concurrency: false }, () => {
  let home: Home;
  let directory: string;
  let config: string;
  before(async () => {
    home = new Home({ seeded: true });
    directory = mkdtempSync(join(tmpdir(), "banger-ssh-"));
    await home.ok(["vm", "create", "--name", "web", "--memory", "256M", "--vcpu", "1", "--disk-size", "256M"]);
    const ssh = await home.json<{ vmId: string; identityFile: string; knownHostsFile: string; hostAlias: string }>([
      "vm",
      "ssh",
      "web",
    ]);
    config = join(directory, "ssh_config");
    const lines = [
      "Host web",
      `ProxyCommand ${root}/bin/banger internal dial ${ssh.vmId} ssh`,
      `IdentityFile ${ssh.identityFile}`,
      `UserKnownHostsFile ${ssh.knownHostsFile}`,
      `HostKeyAlias ${ssh.hostAlias}`,
      `ControlPath ${directory}/%C`,
      ...["User root", "IdentitiesOnly yes", "StrictHostKeyChecking yes", "BatchMode yes", "LogLevel ERROR"],
    ];
    writeFileSync(config, `${lines.join("\n")}\n`);
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await home[Symbol.asyncDispose]();
  });

  const environment = (extra: Record<string, string> = {}) =>
    home.environment({ GIT_SSH_COMMAND: `ssh -F ${config}`, GIT_CONFIG_GLOBAL: "/dev/null", ...extra });
  const run = async (file: string, args: string[], extra: Record<string, string> = {}) =>
    (await execute(file, args, { env: environment(extra), timeout: 60_000 })).stdout;
  const ssh = (...args: string[]) => run("ssh", ["-F", config, ...args]);

  test("rsync both ways", async () => {
    // The image has none: this host's, with its libraries and their loader, in a directory of its own.
    const libraries = execFileSync("ldd", ["/usr/bin/rsync"], { encoding: "utf8" });
    const files = [...libraries.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
    const bundle = join(directory, "rsync");
    mkdirSync(bundle);
    execFileSync("cp", ["-L", "/usr/bin/rsync", ...files, bundle]);
    const loader =
      files
        .find((path) => /\/ld-linux/.test(path))
        ?.split("/")
        .at(-1) ?? "";
    writeFileSync(
      join(bundle, "run"),
      `#!/bin/sh\nexec /opt/rsync/${loader} --library-path /opt/rsync /opt/rsync/rsync "$@"\n`,
      { mode: 0o755 },
    );
    await home.ok(["cp", bundle, "web:/opt"]);
    const tree = join(directory, "tree");
    mkdirSync(join(tree, "sub"), { recursive: true });
    writeFileSync(join(tree, "sub/data"), "content".repeat(100_000));
    const rsync = (from: string, to: string) =>
      run("rsync", ["-a", "--delete", "-e", `ssh -F ${config}`, "--rsync-path", "/opt/rsync/run", from, to]);
    await rsync(`${tree}/`, "web:/root/tree/");
    await ssh("web", "echo more >> /root/tree/sub/data; echo new > /root/tree/new");
    await rsync("web:/root/tree/", `${tree}/`);
    assert.equal(readFileSync(join(tree, "new"), "utf8"), "new\n");
    assert.equal(readFileSync(join(tree, "sub/data"), "utf8"), `${"content".repeat(100_000)}more\n`);
  });

  test("git push to the VM and clone from it", async () => {
    await ssh("web", "git init -q --bare /root/project.git");
    const work = join(directory, "work");
    const git = (...args: string[]) => run("git", ["-C", work, "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
    mkdirSync(work);
    await git("init", "-q", "-b", "main");
    writeFileSync(join(work, "file"), "text\n");
    await git("add", "-A");
    await git("commit", "-qm", "one");
    await git("push", "-q", "web:/root/project.git", "main");
    await ssh("web", "git -C /root/project.git symbolic-ref HEAD refs/heads/main");
    await run("git", ["clone", "-q", "web:/root/project.git", join(directory, "clone")]);
    assert.equal(readFileSync(join(directory, "clone/file"), "utf8"), "text\n");
  });

  test("a port of the guest on this host, over a shared connection", async () => {
    const server = home.start([
      "vm",
      "exec",
      "web",
      "--",
      "python3",
      "-u",
      "-m",
      "http.server",
      "--bind",
      "127.0.0.1",
      "--directory",
      "/etc",
      "8000",
    ]);
    const ended = once(server, "close");
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const { port } = free.address() as { port: number };
    free.close();
    await once(free, "close");
    const master = spawn("ssh", ["-F", config, "-M", "-N", "web"], { env: environment(), stdio: "ignore" });
    const masterEnded = once(master, "exit");
    try {
      await until("the shared connection", () => ssh("-O", "check", "web"));
      await ssh("-O", "forward", "-L", `127.0.0.1:${port}:127.0.0.1:8000`, "web");
      const text = await until("the guest's server to answer", async () =>
        (await fetch(`http://127.0.0.1:${port}/hostname`, { headers: { connection: "close" } })).text(),
      );
      assert.equal(text, "web\n");
      assert.equal(await ssh("web", "hostname"), "web\n");
    } finally {
      master.kill();
      await masterEnded;
      server.kill("SIGINT");
      await ended;
    }
  });

  test("a key that only an agent holds", async () => {
    const { identityFile } = await home.json<{ identityFile: string }>(["vm", "ssh", "web"]);
    const socket = join(directory, "agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    const ended = once(agent, "exit");
    try {
      const extra = { SSH_AUTH_SOCK: socket };
      await until("the agent", async () => (await run("ssh-add", ["-q", identityFile], extra), true));
      const answer = await run(
        "ssh",
        ["-F", config, "-o", `IdentityFile=${identityFile}.pub`, "-o", "ControlMaster=no", "web", "hostname"],
        extra,
      );
      assert.equal(answer, "web\n");
    } finally {
      agent.kill();
      await ended;
    }
  });
});
