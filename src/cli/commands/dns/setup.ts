// banger dns setup
import type { ResultOf } from "../../../api/methods.ts";
import { BangerError } from "../../../lib/errors.ts";
import { defineCommand, flag } from "../../command.ts";

type Setup = ResultOf<"dns.setup">;
const resolvers = [
  "systemd-resolved",
  "dnsmasq",
  "NetworkManager",
  "resolv.conf",
] as const satisfies Setup["resolver"][];

export default defineCommand<{ readonly apply?: boolean; readonly resolver?: Setup["resolver"] }>({
  about: `Prints what makes this host's resolver ask banger for names below .vm, and nobody else's names: a shell script for the resolver
that is in use. Nothing is changed. With --apply the daemon does it, which works for root only.

After that, "curl http://web.vm:8000/" reaches what listens on port 8000 in the VM "web", once the port is forwarded: "vm forward --help".
To undo it, remove the file that the script writes and restart the resolver.`,
  examples: [
    ["banger dns setup", "look at it"],
    ["banger dns setup | sudo sh", "do it"],
    ["banger dns setup --resolver dnsmasq", "for another one than the one that was found"],
  ],
  parameters: {
    flags: {
      apply: flag("write the files and restart the resolver; needs root"),
      resolver: {
        kind: "parsed",
        parse: parseResolver,
        optional: true,
        placeholder: "name",
        brief: `${resolvers.join(", ")}; default: the one in use`,
        proposeCompletions: () => resolvers,
      },
    },
  },
  async run(context, { apply = false, resolver }) {
    await using client = await context.connect();
    const setup = await client.call("dns.setup", { apply, ...(resolver === undefined ? {} : { resolver }) });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(setup);
    const { listening, problem } = await client.call("dns.status", {});
    if (!listening) terminal.notice(`warning: names are not answered now: ${problem}`, "yellow");
    if (setup.applied) terminal.notice(`${setup.resolver} asks banger for names below .vm now`);
    else terminal.print(scriptOf(setup));
  },
});

function parseResolver(text: string): Setup["resolver"] {
  const found = resolvers.find((one) => one === text);
  if (found === undefined) throw new BangerError("usage", `--resolver "${text}" is none of ${resolvers.join(", ")}`);
  return found;
}

/** A script for a POSIX shell; what a program should not do by itself is in its comments. */
function scriptOf({ commands, files, notes, resolver }: Setup): string {
  const lines = [
    `# ${resolver}: ask banger for names below .vm`,
    ...notes.map((note) => `# ${note}`),
    ...files.flatMap(({ content, path }) => [
      `mkdir -p ${path.slice(0, path.lastIndexOf("/"))}`,
      `cat >${path} <<'END'`,
      `${content}END`,
    ]),
    ...commands.map((words) => words.join(" ")),
  ];
  return `${lines.join("\n")}\n`;
}
