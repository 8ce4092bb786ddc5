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
import { Home } from "../support/home.ts";
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
    // As a user has it who ran `banger ssh-config --install`, whose own settings stand behind the Include.
    const { file } = await home.json<{ file: string }>(["ssh-config"]);
    config = join(directory, "ssh_config");
    const lines = [`Include ${file}`, "Host *", `ControlPath ${directory}/%C`, "BatchMode yes", "LogLevel ERROR"];
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
    await rsync(`${tree}/`, "web.vm:/root/tree/");
    await ssh("web.vm", "echo more >> /root/tree/sub/data; echo new > /root/tree/new");
    await rsync("web.vm:/root/tree/", `${tree}/`);
    assert.equal(readFileSync(join(tree, "new"), "utf8"), "new\n");
    assert.equal(readFileSync(join(tree, "sub/data"), "utf8"), `${"content".repeat(100_000)}more\n`);
  });

  test("scp and sftp; a port of this host inside the VM", async () => {
    const local = join(directory, "note");
    writeFileSync(local, "over scp\n");
    await run("scp", ["-q", "-F", config, local, "web.vm:/root/note"]);
    const batch = join(directory, "batch");
    writeFileSync(batch, `get /root/note ${local}.back\n`);
    await run("sftp", ["-q", "-F", config, "-b", batch, "web.vm"]);
    assert.equal(readFileSync(`${local}.back`, "utf8"), "over scp\n");
    const server = createServer((socket) => socket.end("from the host\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const read = `import socket; print(socket.create_connection(("127.0.0.1", 7000)).makefile().read(), end="")`;
    try {
      const answer = await ssh("-R", `127.0.0.1:7000:127.0.0.1:${port}`, "web.vm", `python3 -c '${read}'`);
      assert.equal(answer, "from the host\n");
    } finally {
      server.close();
    }
  });

  test("a host key that is not the VM's is refused, and a name of no VM has none", async () => {
    await assert.rejects(ssh("nothing.vm", "true"), /there is no VM "nothing"/);
    const other = join(directory, "other");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", other]);
    const key = readFileSync(`${other}.pub`, "utf8").split(" ").slice(0, 2).join(" ");
    const wrong = ["-o", `KnownHostsCommand=/bin/echo %H ${key}`, "-o", "ControlPath=none"];
    await assert.rejects(ssh(...wrong, "web.vm", "true"), /Host key verification failed/);
  });

  test("git push to the VM and clone from it", async () => {
    await ssh("web.vm", "git init -q --bare /root/project.git");
    const work = join(directory, "work");
    const git = (...args: string[]) => run("git", ["-C", work, "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
    mkdirSync(work);
    await git("init", "-q", "-b", "main");
    writeFileSync(join(work, "file"), "text\n");
    await git("add", "-A");
    await git("commit", "-qm", "one");
    await git("push", "-q", "web.vm:/root/project.git", "main");
    await ssh("web.vm", "git -C /root/project.git symbolic-ref HEAD refs/heads/main");
    await run("git", ["clone", "-q", "web.vm:/root/project.git", join(directory, "clone")]);
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
    const master = spawn("ssh", ["-F", config, "-M", "-N", "web.vm"], { env: environment(), stdio: "ignore" });
    const masterEnded = once(master, "exit");
    try {
      await until("the shared connection", () => ssh("-O", "check", "web.vm"));
      await ssh("-O", "forward", "-L", `127.0.0.1:${port}:127.0.0.1:8000`, "web.vm");
      const text = await until("the guest's server to answer", async () =>
        (await fetch(`http://127.0.0.1:${port}/hostname`, { headers: { connection: "close" } })).text(),
      );
      assert.equal(text, "web\n");
      assert.equal(await ssh("web.vm", "hostname"), "web\n");
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
        ["-F", config, "-o", `IdentityFile=${identityFile}.pub`, "-o", "ControlMaster=no", "web.vm", "hostname"],
        extra,
      );
      assert.equal(answer, "web\n");
    } finally {
      agent.kill();
      await ended;
    }
  });
});
