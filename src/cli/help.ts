// Help pages, from the tree and the command's own parameters: what it is for, how it is written, examples, options.
import type { Command } from "@stricli/core";
import type { Example, LoadedCommand } from "./command.ts";
import { globalFlags } from "./command.ts";
import type { CliContext } from "./context.ts";
import type { Group, Leaf } from "./entry.ts";

type Row = readonly [string, string];
const globalNames = new Set(Object.keys(globalFlags));

/** "banger vm exec [options] <vm> [-- command...]". */
export function usageLine(path: readonly string[], loaded: LoadedCommand): string {
  const operands = loaded.operands ?? positionalWords(loaded.command).join(" ");
  return ["banger", ...path, "[options]", operands].filter((word) => word !== "").join(" ");
}

/** The page of one command. */
export function commandPage(
  path: readonly string[],
  leaf: Leaf,
  loaded: LoadedCommand,
  aliases: readonly string[],
): string {
  const own = optionRows(loaded.command, (name) => !globalNames.has(name));
  const everywhere = optionRows(loaded.command, (name) => globalNames.has(name));
  return (
    [
      `banger ${path.join(" ")}: ${leaf.summary}`,
      section("Usage", [`  ${usageLine(path, loaded)}`]),
      loaded.page.about,
      ...examples(loaded.page.examples),
      ...(own.length === 0 ? [] : [section("Options", columns(own))]),
      section("Options of every command", columns([...everywhere, ["-h, --help", "show this page"]])),
      ...(aliases.length === 0 ? [] : [`Other names: ${aliases.join(", ")}`]),
    ].join("\n\n") + "\n"
  );
}

/** The page of a group. */
export function groupPage(path: readonly string[], group: Group): string {
  const rows = Object.entries(group.entries)
    .filter(([, entry]) => entry.hidden !== true)
    .map(([name, entry]): Row => [name, entry.summary]);
  const command = ["banger", ...path].join(" ");
  return (
    [
      `${command}: ${group.summary}`,
      section("Usage", [`  ${command} <command> [options]`]),
      group.about,
      ...examples(group.examples),
      section("Commands", columns(rows)),
      `"${command} <command> --help" says more about each.`,
    ].join("\n\n") + "\n"
  );
}

/** Other names of an entry of a group. */
export function aliasesOf(group: Group, name: string): string[] {
  return Object.entries(group.aliases).flatMap(([alias, target]) => (target === name ? [alias] : []));
}

function section(title: string, lines: readonly string[]): string {
  return [`${title}:`, ...lines].join("\n");
}

function examples(list: readonly Example[]): string[] {
  if (list.length === 0) return [];
  return [
    section(
      "Examples",
      list.flatMap(([command, what]) => [`  # ${what}`, `  ${command}`]),
    ),
  ];
}

function columns(rows: readonly Row[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width + 2)}${right}`);
}

function optionRows(command: Command<CliContext>, wanted: (name: string) => boolean): Row[] {
  const { flags = {}, aliases = {} } = command.parameters;
  return Object.entries(flags)
    .filter(([name, parameter]) => wanted(name) && !("hidden" in parameter && parameter.hidden))
    .map(([name, parameter]): Row => {
      const short = Object.entries(aliases).find(([, target]) => target === name)?.[0];
      const long = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      const value = parameter.kind === "boolean" ? "" : ` ${parameter.placeholder ?? "value"}`;
      return [`${short === undefined ? "    " : `-${short}, `}${long}${value}`, parameter.brief];
    });
}

function positionalWords(command: Command<CliContext>): string[] {
  const positional = command.parameters.positional;
  if (positional === undefined) return [];
  if (positional.kind === "array") {
    const name = positional.parameter.placeholder ?? "value";
    return [(positional.minimum ?? 0) > 0 ? `<${name}>...` : `[${name}...]`];
  }
  return positional.parameters.map((parameter) => {
    const name = parameter.placeholder ?? "value";
    return parameter.optional === true ? `[${name}]` : `<${name}>`;
  });
}
