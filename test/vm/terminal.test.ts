// Interactive sessions in a real terminal (tmux): resize, Ctrl-C, Ctrl-D, a full-screen program, the terminal restored.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { Home, root, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

describe("terminal", { concurrency: false }, () => {
  let home: Home;
  const socket = `banger-test-${process.pid}`;
  const tmux = (...args: string[]) =>
    execFileSync("tmux", ["-L", socket, "-f", "/dev/null", ...args], {
      env: home.environment({ TERM: "xterm" }),
      encoding: "utf8",
      stdio: "pipe",
    });
  const screen = () => tmux("capture-pane", "-p", "-t", "main");
  const type = (...keys: string[]) => tmux("send-keys", "-t", "main", ...keys);
  const sees = (words: RegExp) =>
    until(`${String(words)} on the screen`, () => (words.test(screen()) ? true : undefined)).catch((error: unknown) => {
      throw new Error(`${String(error)}; the screen shows:\n${screen()}`);
    });

  before(async () => {
    home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
    tmux("new-session", "-d", "-s", "main", "-x", "100", "-y", "30", "sh");
    type(`PS1='host> '; PATH=${root}/bin:$PATH; clear`, "Enter");
    await sees(/host>/);
  });
  after(async () => {
    try {
      tmux("kill-server");
    } finally {
      await home[Symbol.asyncDispose]();
    }
  });

  test("a shell of the guest: size, resize, Ctrl-C, Ctrl-D, exit code, terminal restored", async () => {
    type("banger vm exec web", "Enter");
    await sees(/root@web/);
    type("PS1='guest> '; clear; stty size", "Enter");
    await sees(/30 100/);
    type("clear; until stty size | grep -qx '24 80'; do sleep 0.1; done; echo size=$(stty size)", "Enter");
    tmux("resize-window", "-t", "main", "-x", "80", "-y", "24");
    await sees(/^size=24 80$/m);
    type("clear; echo run''ning; sleep 1000", "Enter");
    await sees(/^running$/m);
    type("C-c");
    type("echo after=$?", "Enter");
    await sees(/^after=130$/m);
    type("C-d");
    await sees(/host>\s*$/);
    // What was typed is on the screen as well: the count is not.
    type("clear; stty -a | grep -c ' icanon'", "Enter");
    await sees(/^1$/m);
  });

  test("a full-screen program draws, scrolls and quits", async () => {
    type("clear; banger vm exec web -- sh -c 'seq 1 500 | less'", "Enter");
    await sees(/^1\n2\n3\n/m);
    type("G");
    await sees(/\(END\)/);
    type("q");
    await sees(/host>\s*$/);
  });

  test("vm run --rm without a command is a shell, and the VM goes with it", async () => {
    type("clear; banger vm run --rm --memory 256M --vcpu 1; echo code=$?", "Enter");
    await sees(/root@\S+/);
    type("exit 3", "Enter");
    await sees(/code=3/);
    const vms = await home.vms();
    assert.deepEqual(
      vms.map((vm) => vm.name),
      ["web"],
    );
  });
});
