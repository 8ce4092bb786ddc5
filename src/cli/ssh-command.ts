// The arguments of the system's ssh for one VM: nothing of the user's own ssh set-up can change where it goes or what it trusts.
import type { ResultOf } from "../api/methods.ts";

export interface SshRequest {
  target: ResultOf<"vm.ssh">;
  /** Program and arguments of this command line. */
  self: readonly string[];
  user: string;
  /** Words for ssh itself and the command, as they were typed after the VM. */
  words: readonly string[];
  /** What followed `--`: one word is a line for the remote shell, several are an argument list. */
  command: readonly string[] | undefined;
}

/** Options that come first win in ssh, so what the user adds cannot weaken ours. */
export function sshArguments({ target, self, user, words, command }: SshRequest): string[] {
  const proxy = [...self, "internal", "dial", target.vmId, "ssh"].map(shellQuote).join(" ").replaceAll("%", "%%");
  const options = {
    ProxyCommand: proxy,
    User: user,
    HostKeyAlias: target.hostAlias,
    UserKnownHostsFile: optionValue(target.knownHostsFile),
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: "yes",
    UpdateHostKeys: "no",
    IdentityFile: optionValue(target.identityFile),
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    PreferredAuthentications: "publickey",
    ControlPath: "none",
  };
  return [
    "-F",
    "none",
    ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    target.name,
    ...words,
    ...(command === undefined || command.length === 0 ? [] : ["--", remoteLine(command)]),
  ];
}

/** ssh joins its words with spaces and gives the line to a shell: several words are quoted so that they arrive as they are. */
function remoteLine(command: readonly string[]): string {
  return command.length === 1 ? (command[0] as string) : command.map(shellQuote).join(" ");
}

/** A word for sh. */
export function shellQuote(word: string): string {
  return /^[A-Za-z0-9_./:=@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A path as the value of an ssh option: "%" starts a token there, and spaces split words unless quoted. */
function optionValue(path: string): string {
  const text = path.replaceAll("%", "%%");
  return /[\s"]/.test(text) ? `"${text.replaceAll('"', '\\"')}"` : text;
}
