// What OpenSSH is told so that `ssh web.vm` reaches a VM, and the lines in the user's own file that include it.
import { BangerError } from "../lib/errors.ts";

export interface SshConfigRequest {
  /** Program and arguments of this command line. */
  self: readonly string[];
  /** BANGER_HOME of this user, when it is set: the commands must find the same daemon. */
  home: string | undefined;
  identityFile: string;
}

/**
 * The file for `Include`: every name that ends in `.vm`. Host keys come from banger at each connection, so nothing has to be trusted
 * on first use, and a VM that is gone leaves no pin behind.
 */
export function sshConfig({ self, home, identityFile }: SshConfigRequest): string {
  const program = [...(home === undefined ? [] : ["/usr/bin/env", `BANGER_HOME=${home}`]), ...self];
  const command = (...words: string[]) => {
    const line = [...program, "internal", ...words];
    return line.map((word) => (word === "%n" ? word : quoted(word.replaceAll("%", "%%")))).join(" ");
  };
  return `# Written by "banger ssh-config". Changes are lost.
Host *.vm
  User root
  ProxyCommand ${command("dial", "%n", "ssh")}
  KnownHostsCommand ${command("host-key", "%n")}
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  CheckHostIP no
  UpdateHostKeys no
  IdentityFile ${quoted(identityFile.replaceAll("%", "%%"))}
  IdentitiesOnly yes
`;
}

/** A word for both sh (ProxyCommand) and ssh itself (KnownHostsCommand): what the two read alike. */
function quoted(word: string): string {
  if (/["\\$`\n]/.test(word)) {
    throw new BangerError(
      "usage",
      `"${word}" cannot stand in an ssh configuration: it has one of " \\ $ \` or a line break`,
    );
  }
  return /^[\w./:=@,+%-]+$/.test(word) ? word : `"${word}"`;
}

const begin = "# >>> banger: do not edit between these lines >>>";
const end = "# <<< banger <<<";

/** The user's file with our lines first, where they are not swallowed by a `Host` of the user's; once, and nothing else changed. */
export function withInclude(text: string, file: string): string {
  return `${begin}\nInclude ${quoted(file)}\n${end}\n${withoutInclude(text)}`;
}

/** The user's file as it was. Throws `usage` when one of our marks has lost the other: then it is for the user to mend. */
export function withoutInclude(text: string): string {
  const lines = text.split("\n");
  const from = lines.indexOf(begin);
  const to = lines.indexOf(end);
  if (from < 0 && to < 0) return text;
  if (from < 0 || to < from || lines.lastIndexOf(begin) !== from || lines.lastIndexOf(end) !== to) {
    throw new BangerError(
      "usage",
      `the lines of banger in your ssh config are damaged: remove "${begin}" to "${end}" by hand`,
    );
  }
  return [...lines.slice(0, from), ...lines.slice(to + 1)].join("\n");
}

export const isIncluded = (text: string): boolean => text.includes(begin);
