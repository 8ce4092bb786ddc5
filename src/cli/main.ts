// From words to an exit code: finds the command, lets Stricli parse, runs it, renders what went wrong.
import { run } from "@stricli/core";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { aliasesOf, commandPage, groupPage, usageLine } from "./help.ts";
import { type AppEvents, buildApp } from "./app.ts";
import type { LoadedCommand } from "./command.ts";
import type { CliContext } from "./context.ts";
import { renderError, renderInterrupt } from "./output/errors.ts";
import { splitWords } from "./split.ts";
import type { Group, Leaf } from "./entry.ts";
import { findRoute, type Route, tree } from "./tree.ts";
import { describeParseError, didYouMean, usageError } from "./usage.ts";

/** What `main` needs besides the words; the context's rest and exit code are its own business. */
export type CliEnvironment = Omit<CliContext, "rest" | "exitCode" | "process">;

/** The parsed form of a command line: what to run, with which words. */
export interface Invocation {
  route: Route;
  chosen: { leaf: Leaf; loaded: LoadedCommand } | undefined;
  /** For Stricli: command path, then options and operands. */
  words: string[];
  rest: readonly string[] | undefined;
}

/** Finds the command and loads its file. */
export async function readCommandLine(argv: readonly string[]): Promise<Invocation> {
  const first = argv.findIndex((word) => !word.startsWith("-") || word === "--");
  const leading = first < 0 ? [...argv] : argv.slice(0, first);
  const body = first < 0 ? [] : argv.slice(first);
  if (body[0] === "help") return readCommandLine([...body.slice(1), "--help"]);
  const route = findRoute(body);
  const after = body.slice(route.length);
  if (route.target.kind === "group") {
    // Options of every command mean nothing to a group: its page is the same.
    const options = leading.filter((word) => word === "--help" || word === "-h");
    return { route, chosen: undefined, words: [...route.path, ...options, ...after], rest: undefined };
  }
  const { default: loaded } = await route.target.load();
  const split = splitWords([...leading, ...after], loaded);
  return { route, chosen: { leaf: route.target, loaded }, words: [...route.path, ...split.own], rest: split.rest };
}

/** Runs one command line and returns the exit code. Never throws for a user's mistake. */
export async function main(argv: readonly string[], environment: CliEnvironment): Promise<number> {
  const { terminal, interrupts } = environment;
  // Errors in the options themselves must already come out in the form that was asked for.
  const dashes = argv.indexOf("--");
  const ours = dashes < 0 ? argv : argv.slice(0, dashes);
  const early = { json: ours.includes("--json"), noColor: ours.includes("--no-color") };
  let failure: unknown;
  const context: CliContext = { ...environment, process: silentProcess, rest: undefined, exitCode: 0 };
  try {
    const { route, chosen, words, rest } = await readCommandLine(argv);
    const mistakes: string[] = [];
    const events: AppEvents = {
      help: () => terminal.print(page(route, chosen)),
      usageError: (error) => mistakes.push(describeParseError(error)),
      unknownCommand: (input, corrections) => mistakes.push(unknownCommand(route, input, corrections)),
      failure: (error) => {
        failure = error;
      },
    };
    await run(buildApp(chosen, events), words, Object.assign(context, { rest }));
    if (mistakes.length > 0) failure = usageError(mistakes.join("; "), usage(route, chosen), helpCommand(route));
    else if (failure instanceof BangerError && failure.code === "usage" && failure.details === undefined) {
      failure = usageError(failure.message, usage(route, chosen), failure.hint ?? helpCommand(route));
    }
  } catch (error) {
    failure = error;
  }
  if (failure === undefined) return interrupts.exitCode ?? context.exitCode;
  // Nobody reads us any more: every further word would be one more error.
  if (interrupts.isOutputClosed) return interrupts.exitCode ?? 1;
  terminal.configure(early);
  if (interrupts.exitCode !== undefined && toBangerError(failure).code === "cancelled") {
    renderInterrupt(failure, terminal);
    return interrupts.exitCode;
  }
  renderError(failure, terminal, (environment.env["BANGER_DEBUG"] ?? "") !== "");
  return exitCodeOf(failure, interrupts.exitCode);
}

/** 2 for a wrong command line, 127 for a command that the VM does not have, 128 + signal after an interrupt, else 1. */
function exitCodeOf(failure: unknown, interrupted: number | undefined): number {
  if (interrupted !== undefined) return interrupted;
  const { code } = toBangerError(failure);
  if (code === "usage") return 2;
  // As a shell says it of a command that it cannot find.
  return code === "exec.not-found" ? 127 : 1;
}

function page(route: Route, chosen: Invocation["chosen"]): string {
  if (chosen === undefined) return groupPage(route.path, route.target as Group);
  const parent = findRoute(route.path.slice(0, -1)).target as Group;
  return commandPage(route.path, chosen.leaf, chosen.loaded, aliasesOf(parent, route.path.at(-1) ?? ""));
}

function usage(route: Route, chosen: Invocation["chosen"]): string {
  return chosen === undefined
    ? `${["banger", ...route.path].join(" ")} <command> [options]`
    : usageLine(route.path, chosen.loaded);
}

function helpCommand(route: Route): string {
  return ["banger", ...route.path, "--help"].join(" ");
}

/** Says which groups have a command of that name; else which names of this group are near. */
function unknownCommand(route: Route, input: string, corrections: readonly string[]): string {
  const prefix = ["banger", ...route.path].join(" ");
  const near = corrections.map((name) => name.replaceAll("`", ""));
  const elsewhere = Object.entries(tree.entries)
    .filter(([, entry]) => entry.kind === "group" && entry.hidden !== true)
    .filter(
      ([, entry]) => Object.hasOwn((entry as Group).entries, input) || Object.hasOwn((entry as Group).aliases, input),
    )
    .map(([name]) => `banger ${name} ${input}`);
  const names = elsewhere.length > 0 ? elsewhere : near.map((name) => `${prefix} ${name}`);
  return `unknown command "${prefix} ${input}"${didYouMean(names)}`;
}

/** Stricli's own output: nothing, everything is rendered here. */
const silentProcess = { stdout: { write: () => {} }, stderr: { write: () => {} } };
