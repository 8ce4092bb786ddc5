// banger net check
import { isIP } from "node:net";
import { BangerError } from "../../../lib/errors.ts";
import { reference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { remedy, whyNot } from "../../output/network-text.ts";

type Flags = { readonly resolve?: boolean };

export default defineCommand<Flags, [string, string]>({
  about: `Says what would become of a connection of a running VM, without one: allowed or denied, by which rule, and what to add. Exits with 0
when it is allowed, else with 1. A name is judged as a name; with --resolve it is looked up, too, and each of its addresses is judged.`,
  examples: [
    ["banger net check box packages.example.com:443", "may it?"],
    ["banger net check box 169.254.169.254:80", "an address"],
    ["banger net check box api.example.com:443 --resolve", "with the addresses that the name has now"],
    ["banger net check box [2001:db8::1]:53/udp", "IPv6, UDP"],
  ],
  operands: "<vm> <host:port>",
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [reference("vm"), { parse: String, placeholder: "host:port", brief: "what it would connect to" }],
    },
    flags: { resolve: flag("look the name up and judge its addresses, too") },
  },
  async run(context, { resolve = false }, vm, text) {
    const question = parseTarget(text);
    await using client = await context.connect();
    const { name } = await client.call("vm.show", { vm });
    const answer = await client.call("net.check", { vm, ...question, resolve });
    const { terminal } = context;
    const allowed = answer.verdict.allowed && answer.addresses.every(({ verdict }) => verdict.allowed);
    if (!allowed) context.exitCode = 1;
    if (terminal.json) return terminal.printJson(answer);
    const { verdict } = answer;
    terminal.print(
      verdict.allowed ? `allowed  by ${verdict.rule}` : `denied  ${whyNot(verdict)}${remedy(verdict, name)}`,
    );
    for (const one of answer.addresses) {
      const said = one.verdict.allowed ? `allowed  by ${one.verdict.rule}` : `denied  ${whyNot(one.verdict)}`;
      terminal.print(`  ${one.address}  ${said}`);
    }
    if (answer.resolveFailure !== "") terminal.notice(`not looked up: ${answer.resolveFailure}`, "yellow");
  },
});

function parseTarget(text: string): { host: string; port: number; protocol: "tcp" | "udp" | "icmp" } {
  const [, rest = text, protocol = "tcp"] = /^(.*)\/(tcp|udp|icmp)$/.exec(text) ?? [];
  const bracketed = /^\[([^\]]+)\]:(\d+)$/.exec(rest);
  const plain = isIP(rest) === 6 ? null : /^([^:]+):(\d+)$/.exec(rest);
  const [, host = rest, port = "0"] = bracketed ?? plain ?? [];
  if ((protocol !== "icmp" && port === "0") || Number(port) > 65_535) {
    throw new BangerError("usage", `"${text}" is not host:port`, { hint: "banger net check box api.example.com:443" });
  }
  return { host, port: Number(port), protocol: protocol as "tcp" | "udp" | "icmp" };
}
