// Parsing, usage errors, JSON errors, exit codes: what a user meets before any daemon does.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runFake, vmNotFound } from "./testing/run-fake.ts";
import { fakeVm } from "../api/testdata/vm-record.ts";

describe("usage", () => {
  test("a group without a command prints its page and succeeds", async () => {
    for (const [words, title] of [
      [[], /^banger: /],
      [["vm"], /^banger vm: /],
      [["vm", "--help"], /^banger vm: /],
      [["help", "vm", "run"], /^banger vm run: /],
      [["vm", "run", "-h"], /^banger vm run: /],
    ] as const) {
      const ran = await runFake(words);
      assert.equal(ran.code, 0, words.join(" "));
      assert.match(ran.stdout, title);
      assert.match(ran.stdout, /Examples:\n {2}# /);
      assert.equal(ran.stderr, "");
    }
  });

  test("mistakes exit with 2, name the mistake, the usage line and the help", async () => {
    for (const [words, message, usage] of [
      [
        ["vm", "lst"],
        'unknown command "banger vm lst", did you mean "banger vm list"?',
        "banger vm <command> [options]",
      ],
      [["list"], 'unknown command "banger list", did you mean "banger vm list" or', "banger <command> [options]"],
      [["vm", "run", "--memry", "1G"], 'unknown option "--memry", did you mean "--memory"?', "banger vm run [options]"],
      [["vm", "show"], "missing argument <vm>", "banger vm show [options] <vm>"],
      [["vm", "show", "a", "b"], 'unexpected argument "b"', "banger vm show [options] <vm>"],
      [["vm", "stop"], "missing argument <vm>", "banger vm stop [options] <vm>..."],
      [["vm", "run", "--name"], 'option "--name" needs a value', "banger vm run"],
      [["vm", "run", "--memory", "lots"], '--memory "lots" is not a size', "banger vm run"],
      [["vm", "run", "--vcpu", "two"], '--vcpu "two" is not a whole number', "banger vm run"],
      [["vm", "run", "-d", "--rm"], "--detach and --rm exclude each other", "banger vm run"],
      [["vm", "run", "-d", "--", "true"], "--detach takes no command", "banger vm run"],
      [["vm", "exec", "-e", "1A=b", "box", "true"], '--env "1A=b" is not KEY=VALUE', "banger vm exec"],
      [
        ["vm", "create", "--warm-from", "s", "--image", "i", "--disk-size", "1G"],
        "--warm-from and --image, --disk-size exclude each other: a snapshot has its image, kernel, sizes and init",
        "banger vm create",
      ],
      [["cp", "a", "b"], "one of source and destination", "banger cp [options] <source> <destination>"],
      [["completion", "tcsh"], "write bash, zsh, fish", "banger completion"],
    ] as const) {
      const ran = await runFake(words);
      assert.equal(ran.code, 2, words.join(" "));
      assert.equal(ran.stdout, "");
      assert.ok(ran.stderr.startsWith("banger: error: ") && ran.stderr.includes(message), ran.stderr);
      assert.ok(ran.stderr.includes(`banger: usage: ${usage}`), ran.stderr);
      assert.match(ran.stderr, /banger: hint: banger .*--help/);
      assert.deepEqual(ran.calls, [], "nothing was asked of the daemon");
    }
  });

  test("with --json a mistake is one JSON object, and the exit code is the same", async () => {
    for (const words of [
      ["vm", "lst", "--json"],
      ["--json", "vm", "show"],
      ["vm", "run", "--nope", "--json"],
    ]) {
      const ran = await runFake(words);
      assert.equal(ran.code, 2, words.join(" "));
      const { error } = JSON.parse(ran.stderr) as { error: Record<string, unknown> };
      assert.equal(error["code"], "usage");
      assert.match(String(error["hint"]), /--help/);
    }
  });
});

describe("errors of the daemon", () => {
  const replies = { "vm.show": (params: Record<string, unknown>) => vmNotFound(params["vm"]) };

  test("for people: message with its code, then the hint", async () => {
    const ran = await runFake(["vm", "show", "nope"], { replies });
    assert.equal(ran.code, 1);
    assert.equal(ran.stderr, 'banger: error: there is no VM "nope" (vm.not-found)\nbanger: hint: banger vm list\n');
  });

  test("for programs: the same fields", async () => {
    const ran = await runFake(["vm", "show", "nope", "--json"], { replies });
    assert.equal(ran.code, 1);
    assert.deepEqual(JSON.parse(ran.stderr), {
      error: { code: "vm.not-found", message: 'there is no VM "nope"', hint: "banger vm list" },
    });
  });

  test("control characters in a message never reach the terminal", async () => {
    const ran = await runFake(["vm", "show", "\x1b[2Jx"], { replies, terminal: true, env: { NO_COLOR: "1" } });
    assert.match(ran.stderr, /no VM "\\x1b\[2Jx"/);
    assert.doesNotMatch(ran.stderr, /\x1b/);
  });

  test("colours only on a terminal, and neither with NO_COLOR nor --no-color", async () => {
    const color = async (words: string[], options: Parameters<typeof runFake>[1]) =>
      (await runFake(["vm", "show", "x", ...words], { replies, ...options })).stderr.includes("\x1b[31m");
    assert.equal(await color([], { terminal: true }), true);
    assert.equal(await color([], { terminal: false }), false);
    assert.equal(await color([], { terminal: true, env: { NO_COLOR: "1" } }), false);
    assert.equal(await color(["--no-color"], { terminal: true }), false);
  });
});

describe("lists", () => {
  const vms = [fakeVm("web"), fakeVm("db", { state: "stopped" })];
  const replies = { "vm.list": () => ({ vms }) };

  test("ps shows paused VMs, too: they are where they were", async () => {
    const paused = { "vm.list": () => ({ vms: [...vms, fakeVm("aside", { state: "paused", pid: null })] }) };
    const ran = await runFake(["ps"], { replies: paused });
    assert.match(ran.stdout, /^id-web +web +running .*\nid-aside +aside +paused .*\n$/m);
    assert.doesNotMatch(ran.stdout, /stopped/);
  });

  test("ps shows running VMs, --all the others too, -q ids, --json records", async () => {
    const table = (await runFake(["ps"], { replies })).stdout;
    assert.match(
      table,
      /^ID +NAME +STATE +IMAGE +VCPU +MEM +DISK +CREATED\nid-web +web +running +debian-bookworm +2 +1024 MiB +0 B +\d+ days ago\n$/,
    );
    assert.equal((await runFake(["ps", "-aq"], { replies })).stdout, "id-web\nid-db\n");
    assert.equal((await runFake(["vm", "ls", "--all", "--quiet"], { replies })).stdout, "id-web\nid-db\n");
    assert.deepEqual(JSON.parse((await runFake(["vm", "list", "-a", "--json"], { replies })).stdout), vms);
    assert.deepEqual(JSON.parse((await runFake(["--json", "ps"], { replies })).stdout), [vms[0]]);
  });
});

describe("several targets", () => {
  const known = new Map([
    ["web", fakeVm("web")],
    ["id-web", fakeVm("web")],
    ["db", fakeVm("db")],
  ]);
  const replies = {
    "vm.show": ({ vm }: Record<string, unknown>) => known.get(String(vm)) ?? vmNotFound(vm),
    "vm.stop": ({ vm }: Record<string, unknown>) => ({ ...known.get(String(vm).slice(3)), state: "stopped" }),
  };

  test("each VM once, in the order of the words; what is missing does not hold up the rest", async () => {
    const ran = await runFake(["vm", "stop", "web", "nope", "db", "id-web", "nope"], { replies });
    assert.equal(ran.code, 1);
    assert.equal(ran.stdout, "web\ndb\n");
    assert.equal(ran.stderr.match(/there is no VM "nope"/g)?.length, 1);
    const stopped = ran.calls.filter(({ name }) => name === "vm.stop").map(({ params }) => params["vm"]);
    assert.deepEqual(stopped, ["id-web", "id-db"]);
  });

  test("--json gives the records, and one error object with every failure", async () => {
    const ran = await runFake(["vm", "stop", "web", "no", "nope", "--json"], { replies });
    const vms = JSON.parse(ran.stdout) as { name: string; state: string }[];
    assert.deepEqual(
      vms.map(({ name, state }) => [name, state]),
      [["web", "stopped"]],
    );
    const { error } = JSON.parse(ran.stderr) as {
      error: { code: string; details: { failures: { target: string }[] } };
    };
    assert.equal(error.code, "vm.not-found");
    assert.deepEqual(
      error.details.failures.map(({ target }) => target),
      ["no", "nope"],
    );
  });
});

describe("vm create", () => {
  test("options become the daemon's parameters, and nothing that was not said", async () => {
    const replies = { "vm.create": () => fakeVm("box") };
    const ran = await runFake(
      [
        "vm",
        "create",
        "--name",
        "box",
        "--vcpu",
        "4",
        "--memory=1G",
        "--disk-size",
        "4GiB",
        "--system-overlay-size",
        "512",
      ],
      { replies },
    );
    assert.equal(ran.stdout, "box\n");
    assert.match(ran.stderr, /^box: boot waiting\nspec: 2 vcpu \| 1024 MiB \| 8G disk\nbox: ready in /m);
    assert.deepEqual(ran.calls.find(({ name }) => name === "vm.create")?.params, {
      name: "box",
      vcpus: 4,
      memoryMib: 1024,
      diskBytes: 4 * 1024 ** 3,
      overlayBytes: 512 * 1024 ** 2,
    });
    const quiet = await runFake(["vm", "create", "-q", "--no-start"], { replies });
    assert.equal(quiet.stderr, "");
    assert.deepEqual(quiet.calls[0], { name: "vm.create", params: { start: false } });
  });

  test("on a terminal progress is one line that is gone at the end", async () => {
    const ran = await runFake(["vm", "create", "--name", "box"], {
      replies: { "vm.create": () => fakeVm("box") },
      terminal: true,
      env: { NO_COLOR: "1" },
    });
    assert.match(ran.stderr, /\r\x1b\[Kboot waiting {2}\d+ ms/);
    const screen = ran.stderr.replaceAll(/[^\n]*\r\x1b\[K/g, "");
    assert.match(screen, /^spec: .*\nbox: ready in .*\nnext: /);
  });
});

test("ps without a VM: a word on a terminal, the header alone in a pipe", async () => {
  const replies = { "vm.list": () => ({ vms: [fakeVm("off", { state: "stopped" })] }) };
  const piped = await runFake(["ps"], { replies });
  assert.match(piped.stdout, /^ID +NAME .*CREATED\n$/);
  assert.equal(piped.stderr, "");
  const seen = await runFake(["ps"], { replies, terminal: true, env: { NO_COLOR: "1" } });
  assert.equal(seen.stdout, "");
  assert.equal(seen.stderr, "no VM is running: banger vm run makes one  # 1 more: banger vm list --all\n");
});
