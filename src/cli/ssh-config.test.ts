// The lines in the user's ssh configuration: put in once, taken out again, and nothing else changed. What OpenSSH makes of the file.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sshConfig, withInclude, withoutInclude } from "./ssh-config.ts";
import { runFake } from "./testing/run-fake.ts";

test("in and out again, whatever was there", () => {
  for (const text of ["", "Host a\n  User b\n", "no newline at the end", "\n\n# mine\n"]) {
    const once = withInclude(text, "/home/me/.local/state/banger/ssh/config");
    assert.equal(withInclude(once, "/home/me/.local/state/banger/ssh/config"), once);
    assert.equal(withoutInclude(once), text);
    assert.equal(withoutInclude(text), text);
    assert.match(once, /^# >>> banger.*\nInclude \/home\/me/);
  }
});

test("damaged marks are left for the user", () => {
  const once = withInclude("Host a\n", "/x");
  for (const text of [once.replace(/^.*\n/, ""), once.replace("# <<< banger <<<\n", ""), once + once]) {
    assert.throws(() => withoutInclude(text), { code: "usage", message: /by hand/ });
  }
});

test("OpenSSH reads it as it is meant, also with blanks and percent signs in paths", () => {
  const directory = mkdtempSync(join(tmpdir(), "banger ssh 100% "));
  try {
    const file = join(directory, "config");
    const self = ["/opt/a b/node", "/opt/100%/banger.mjs"];
    writeFileSync(file, sshConfig({ self, home: "/home of/me", identityFile: join(directory, "id") }));
    const read = execFileSync("ssh", ["-F", file, "-G", "web.vm"], { encoding: "utf8" });
    const value = (name: string) => new RegExp(`^${name} (.*)$`, "m").exec(read)?.[1];
    const program = '/usr/bin/env "BANGER_HOME=/home of/me" "/opt/a b/node" /opt/100%%/banger.mjs internal';
    assert.equal(value("proxycommand"), `${program} dial %n ssh`);
    assert.equal(value("knownhostscommand"), `${program} host-key %n`);
    assert.equal(value("user"), "root");
    assert.equal(value("stricthostkeychecking"), "true");
    assert.match(execFileSync("ssh", ["-F", file, "-G", "web.org"], { encoding: "utf8" }), /^(?![^]*banger)/);
    assert.throws(() => sshConfig({ self: ["/opt/$HOME/node"], home: undefined, identityFile: "/id" }), {
      code: "usage",
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("--install keeps a linked file linked and private, and does it once; --uninstall takes it back", async () => {
  const home = mkdtempSync(join(tmpdir(), "banger-home-"));
  try {
    execFileSync("mkdir", ["-p", join(home, ".ssh"), join(home, "dotfiles"), join(home, "state")]);
    const real = join(home, "dotfiles/ssh");
    writeFileSync(real, "Host mine\n", { mode: 0o600 });
    symlinkSync(real, join(home, ".ssh/config"));
    const replies = { "ssh.identity": () => ({ identityFile: join(home, "id"), directory: join(home, "state") }) };
    // This command line cannot be written into an ssh configuration.
    const bad = await runFake(["ssh-config"], { replies, env: { HOME: home, BANGER_HOME: "/a`b" } });
    assert.equal(bad.code, 2);
    const run = (...words: string[]) => runFake(["ssh-config", ...words], { replies, env: { HOME: home } });
    for (const _twice of [1, 2]) {
      const ran = await run("--install");
      assert.equal(ran.code, 0, ran.stderr);
      assert.equal(readFileSync(real, "utf8"), withInclude("Host mine\n", join(home, "state/config")));
      assert.equal(readFileSync(join(home, ".ssh/config"), "utf8"), readFileSync(real, "utf8"));
      assert.equal(statSync(real).mode & 0o777, 0o600);
    }
    assert.equal((await run("--uninstall")).code, 0);
    assert.equal(readFileSync(real, "utf8"), "Host mine\n");
    assert.match((await run("--uninstall")).stderr, /does not include it/);
  } finally {
    rmSync(home, { recursive: true });
  }
});
