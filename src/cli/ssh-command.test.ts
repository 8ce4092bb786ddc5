// The argument list for ssh: quoting, and that the user's words come after ours.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { shellQuote } from "./ssh-command.ts";
import { runFake } from "./testing/run-fake.ts";

const target = {
  vmId: "0123abcd",
  name: "box",
  identityFile: "/home/a b/100%/id",
  knownHostsFile: "/home/a b/known_hosts",
  hostAlias: "banger-0123abcd",
};
const replies = { "vm.ssh": () => target };

/** What ssh itself makes of the arguments: its settings, as `ssh -G` prints them. */
async function settings(words: string[]): Promise<Map<string, string>> {
  const { replaced = [] } = await runFake(["vm", "ssh", ...words], { replies });
  const text = execFileSync(replaced[0] as string, ["-G", ...replaced.slice(1)], { encoding: "utf8" });
  return new Map(text.split("\n").map((line) => [line.split(" ", 1)[0] ?? "", line.slice(line.indexOf(" ") + 1)]));
}

test("ssh understands the settings, and options of the user do not weaken them", async () => {
  const found = await settings([
    "box",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-p",
    "2200",
  ]);
  assert.equal(found.get("stricthostkeychecking"), "true");
  assert.equal(found.get("userknownhostsfile"), "/home/a b/known_hosts");
  assert.equal(found.get("hostkeyalias"), "banger-0123abcd");
  assert.equal(found.get("user"), "root");
  assert.equal(found.get("identitiesonly"), "yes");
  assert.equal(found.get("port"), "2200");
  assert.match(
    found.get("proxycommand") ?? "",
    /^\/usr\/bin\/node '\/opt\/it'\\''s 100%%\/banger\.mjs' internal dial 0123abcd ssh$/,
  );
  assert.equal((await settings(["--user", "dev", "box"])).get("user"), "dev");
});

test("several words after -- arrive as they are, one word is a line for the shell", async () => {
  const last = async (...words: string[]) =>
    (await runFake(["vm", "ssh", "box", "--", ...words], { replies })).replaced?.slice(-2);
  assert.deepEqual(await last("echo $HOME && id"), ["--", "echo $HOME && id"]);
  assert.deepEqual(await last("sh", "-c", "exit 42"), ["--", "sh -c 'exit 42'"]);
});

test("a quoted word comes out of a shell as it went in", () => {
  for (const word of ["", "plain", "two words", "it's", '$HOME `id` \\ "x"', "new\nline", "*", "~"]) {
    assert.equal(execFileSync("sh", ["-c", `printf %s ${shellQuote(word)}`], { encoding: "utf8" }), word);
  }
});

test("--json prints what a client needs and runs nothing", async () => {
  for (const words of [
    ["box", "--json"],
    ["--json", "box"],
  ]) {
    const ran = await runFake(["vm", "ssh", ...words], { replies });
    assert.deepEqual(JSON.parse(ran.stdout), target);
    assert.equal(ran.replaced, undefined);
  }
});
