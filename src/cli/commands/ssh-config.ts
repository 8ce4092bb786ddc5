// banger ssh-config
import { mkdirSync, readFileSync, realpathSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import { writeFileAtomic } from "../../lib/files.ts";
import { defineCommand, flag } from "../command.ts";
import { isIncluded, sshConfig, withInclude, withoutInclude } from "../ssh-config.ts";

export default defineCommand<{ readonly install?: boolean; readonly uninstall?: boolean }>({
  about: `Makes "ssh <name>.vm" work with everything that speaks OpenSSH: scp, sftp, rsync, git, editors, port forwarding. No network is needed:
connections go through the daemon. Host keys come from banger itself, so nothing is trusted on first use.

Alone it writes the configuration to a file of banger's own and says how to use it. With --install one Include line, between marks, is put
at the top of ~/.ssh/config; --uninstall takes it away again. Nothing else in that file is touched.`,
  examples: [
    ["banger ssh-config --install", "from now on: ssh sandbox.vm"],
    ["banger ssh-config", "only write the file, and say which"],
    ["banger ssh-config --uninstall", "take the line out of ~/.ssh/config"],
  ],
  parameters: {
    flags: {
      install: flag("include it in ~/.ssh/config"),
      uninstall: flag("take it out of ~/.ssh/config"),
    },
  },
  async run(context, { install = false, uninstall = false }) {
    if (install && uninstall) throw new BangerError("usage", "--install and --uninstall exclude each other");
    const { terminal, env } = context;
    const own = userFile(env["HOME"]);
    if (uninstall) {
      const before = read(own);
      const installed = isIncluded(before);
      if (installed) await replace(own, withoutInclude(before));
      if (terminal.json) terminal.printJson({ file: own, installed: false, changed: installed });
      else terminal.notice(installed ? `removed from ${own}` : `${own} does not include it`);
      return;
    }
    await using client = await context.connect();
    const { identityFile, directory } = await client.call("ssh.identity", {});
    const file = join(directory, "config");
    await writeFileAtomic(file, sshConfig({ self: context.self, home: env["BANGER_HOME"], identityFile }));
    const before = read(own);
    const wanted = install ? withInclude(before, file) : before;
    if (wanted !== before) await replace(own, wanted);
    const installed = isIncluded(wanted);
    if (terminal.json) return terminal.printJson({ file, installed, changed: wanted !== before });
    terminal.print(file);
    if (install)
      terminal.notice(wanted === before ? `${own} includes it already` : `included in ${own}: ssh <name>.vm`);
    else if (!installed)
      terminal.notice(`use it with: ssh -F ${file} <name>.vm, or: banger ssh-config --install`, "dim");
  },
});

function userFile(home: string | undefined): string {
  if (home === undefined || home === "")
    throw new BangerError("config.unreadable", "HOME is not set: there is no ~/.ssh/config");
  const file = join(home, ".ssh/config");
  try {
    // People keep it elsewhere and link to it: the link stays.
    return realpathSync(file);
  } catch {
    return file;
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

async function replace(file: string, text: string): Promise<void> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    await writeFileAtomic(file, text);
  } catch (error) {
    // A directory that may not be written to may hold a file that may.
    if ((error as NodeJS.ErrnoException).code !== "EACCES") throw error;
    await writeFile(file, text);
  }
}
