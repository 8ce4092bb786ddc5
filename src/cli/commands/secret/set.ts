// banger secret set
import { BangerError } from "../../../lib/errors.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { askLine, readSecret } from "../../prompt.ts";

type Flags = {
  readonly host?: readonly string[];
  readonly header?: readonly string[];
  readonly env?: string;
  readonly fromCommand?: boolean;
};

const many = (placeholder: string, brief: string) =>
  ({ kind: "parsed", parse: String, optional: true, variadic: true, placeholder, brief }) as const;

export default defineCommand<Flags, [string]>({
  about: `Makes a secret, or gives one another value. The value is read from standard input, or asked for on the terminal; it never stands on the
command line. A VM that is made with --secret NAME gets a placeholder, in the variable that --env names. Where a request over HTTPS to one
of the hosts has the placeholder in a header, the value is put in its place on its way out: the VM never has it, nor do snapshots.

With --from-command the value is what a command prints, run without a shell at each start of such a VM.

A new value holds at once for VMs that run. For its hosts, HTTPS of those VMs ends in banger and begins anew there: their guests trust an
authority of this installation for that. All other connections pass through untouched.`,
  examples: [
    ["cat token.txt | banger secret set github --host api.github.com --env GITHUB_TOKEN", "from a file"],
    [
      "banger secret set github --host api.github.com --env GITHUB_TOKEN --from-command -- gh auth token",
      "of a command",
    ],
    [
      "banger vm run --secret github -- sh -c 'curl -H \"Authorization: Bearer $GITHUB_TOKEN\" https://api.github.com/user'",
      "its use",
    ],
  ],
  rest: "dashes",
  operands: "<name> --host HOST [-- <command> [argument...]]",
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{ parse: String, placeholder: "name", brief: "name of the secret: a-z, 0-9 and -" }],
    },
    flags: {
      host: many("HOST", "host that gets the value, a name or *.name (repeatable)"),
      header: many("NAME", "only in this header, e.g. Authorization (repeatable); default: in any"),
      env: option("variable of the VM's environment that holds the placeholder", "name"),
      fromCommand: flag("the value is what the command behind -- prints"),
    },
  },
  async run(context, { host = [], header, env, fromCommand = false }, name) {
    const command = context.rest ?? [];
    if (host.length === 0) throw new BangerError("usage", "say which hosts get it: --host api.example.com");
    if (fromCommand !== command.length > 0) {
      throw new BangerError("usage", "--from-command takes a command behind --, and only it does");
    }
    const value = fromCommand
      ? undefined
      : await (context.streams.stdinIsTty ? askLine(context, "Value", { hidden: true }) : readSecret(context));
    await using client = await context.connect();
    const record = await client.call("secret.set", {
      name,
      hosts: [...host],
      ...(header === undefined ? {} : { headers: [...header] }),
      ...(env === undefined ? {} : { env }),
      ...(value === undefined ? { command: [...command] } : { value }),
    });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(record);
    terminal.print(record.name);
    terminal.notice(`next: banger vm run --secret ${record.name} -- <command>`, "dim");
  },
});
