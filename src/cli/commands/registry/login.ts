// banger registry login
import { BangerError } from "../../../lib/errors.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { askLine, readSecret } from "../../prompt.ts";

type Flags = {
  readonly username?: string;
  readonly passwordStdin?: boolean;
  readonly realm?: string;
  readonly insecure?: boolean;
};

export default defineCommand<Flags, [string | undefined]>({
  about: `Proves a user name and password (or an access token in its place) at a registry, and keeps them for "image pull" in a file
that only you can read. Asks for what is not given; the password is never an argument. Without a host: Docker Hub.

Logins of docker count as well, also those in its credential helpers: who has run "docker login" need not log in here. What is kept
here comes first.

Some registries leave it to another host to check passwords. The password goes to such a host only when --realm names it; the error
without it says which host that is.`,
  examples: [
    ["banger registry login ghcr.io --username me", "asks for the password"],
    ["cat token | banger registry login ghcr.io --username me --password-stdin", "in scripts"],
    ["banger registry login registry.example.com --realm gitlab.example.com", "passwords are checked by another host"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{ parse: String, placeholder: "host", brief: "registry, with a port if need be", optional: true }],
    },
    flags: {
      username: option("user name", "name"),
      passwordStdin: flag("read the password from standard input"),
      realm: option("other host that may get the password to check it", "host"),
      insecure: flag("allow plain HTTP and any certificate"),
    },
  },
  async run(context, { username, passwordStdin, realm, insecure }, host = "docker.io") {
    if (passwordStdin !== true && !context.streams.stdinIsTty) {
      throw new BangerError("usage", "there is no terminal to ask for the password on", {
        hint: `banger registry login ${host} --username ${username ?? "<name>"} --password-stdin < password-file`,
      });
    }
    const user = username ?? (await askLine(context, "User name", { hidden: false }));
    const password =
      passwordStdin === true ? await readSecret(context) : await askLine(context, "Password", { hidden: true });
    await using client = await context.connect();
    const result = await client.call(
      "registry.login",
      {
        registry: host,
        username: user,
        password,
        ...(realm === undefined ? {} : { realm }),
        ...(insecure === true ? { insecure } : {}),
      },
      { signal: context.interrupts.signal },
    );
    if (context.terminal.json) context.terminal.printJson(result);
    else context.terminal.print(result.registry);
  },
});
