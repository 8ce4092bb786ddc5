// How a command is written down: parameters for the parser, words for the help page, and the function, in one value.
import { type BaseArgs, type BaseFlags, buildCommand, type Command, type TypedCommandParameters } from "@stricli/core";
import type { CliContext } from "./context.ts";

/** Runnable example and what it does. */
export type Example = readonly [command: string, what: string];

/** Words of a help page. */
export interface Page {
  /** What it is for, what happens, what to do next: plain paragraphs. */
  about: string;
  examples: readonly Example[];
}

/**
 * Which words are kept from the parser:
 * - "dashes": those after `--`.
 * - "command": those from the second positional or `--` on (a command line for the guest).
 * - "first": all those after the first positional (options of another program).
 * - "all": every word.
 */
export type RestMode = "dashes" | "command" | "first" | "all";

export interface Definition<FLAGS extends BaseFlags, ARGS extends BaseArgs> extends Page {
  parameters: NoInfer<TypedCommandParameters<FLAGS, ARGS, CliContext>>;
  rest?: RestMode;
  /** Words of the usage line after the options, when the parameters alone do not say it: "[path] [-- command...]". */
  operands?: string;
  run: (context: CliContext, flags: FLAGS, ...args: ARGS) => Promise<void> | void;
}

/** A command, ready for the parser and for the help pages. */
export interface LoadedCommand {
  command: Command<CliContext>;
  page: Page;
  rest: RestMode | undefined;
  operands: string | undefined;
}

type GlobalFlags = {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly noColor?: boolean;
};

/** An option without a value. */
export function flag(brief: string) {
  return { kind: "boolean", optional: true, withNegated: false, brief } as const;
}

/** An option with a value. */
export function option(brief: string, placeholder: string) {
  return { kind: "parsed", parse: String, optional: true, brief, placeholder } as const;
}

/** Options of every command. Their names never change meaning. */
export const globalFlags = {
  json: flag("print JSON on stdout, errors as one JSON object on stderr"),
  quiet: flag("print less: no progress and notices; lists print ids only"),
  noColor: flag("no colours (also: NO_COLOR=1, or output that is not a terminal)"),
};

/** Builds the command; the options of every command are added and applied before `run`. */
export function defineCommand<FLAGS extends BaseFlags = NonNullable<unknown>, ARGS extends BaseArgs = []>(
  definition: Definition<FLAGS, ARGS>,
): LoadedCommand {
  const parameters = definition.parameters;
  const command = buildCommand<FLAGS & GlobalFlags, ARGS, CliContext>({
    func: async function (flags, ...args) {
      this.terminal.configure(flags);
      await definition.run(this, flags, ...args);
    },
    // The generic intersection is beyond what the compiler can follow; the two halves are checked above.
    parameters: {
      ...parameters,
      flags: { ...parameters.flags, ...globalFlags },
      aliases: { q: "quiet", ...parameters.aliases },
    } as unknown as TypedCommandParameters<FLAGS & GlobalFlags, ARGS, CliContext>,
    docs: { brief: "" },
  });
  return {
    command,
    page: { about: definition.about, examples: definition.examples },
    rest: definition.rest,
    operands: definition.operands,
  };
}
