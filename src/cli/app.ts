// The Stricli application for one command line: real parameters for the command that was named, stand-ins for the others.
import {
  type Application,
  type ApplicationFlagFunction,
  type ApplicationText,
  buildApplication,
  buildCommand,
  buildRouteMap,
  type Command,
  type RouteMap,
  text_en,
} from "@stricli/core";
import type { LoadedCommand } from "./command.ts";
import type { CliContext } from "./context.ts";
import type { Group, Leaf } from "./entry.ts";
import { tree } from "./tree.ts";

export interface AppEvents {
  /** Prints the page of the target that was asked for. */
  help: ApplicationFlagFunction<CliContext>;
  /** Each thing that is wrong with the command line, as the parser threw it. */
  usageError: (error: unknown) => void;
  unknownCommand: (input: string, corrections: readonly string[]) => void;
  /** What the command threw, or what went wrong while it was loaded. */
  failure: (error: unknown) => void;
}

/** `leaf` is the command that the words name; undefined when they name a group or nothing. */
export function buildApp(
  chosen: { leaf: Leaf; loaded: LoadedCommand } | undefined,
  events: AppEvents,
): Application<CliContext> {
  const note = (record: (error: unknown) => void) => (error: unknown) => {
    record(error);
    return "";
  };
  // Every text that Stricli would print goes to `events` instead: one renderer writes all errors, also as JSON.
  const text: ApplicationText = {
    ...text_en,
    exceptionWhileParsingArguments: note(events.usageError),
    exceptionWhileLoadingCommandFunction: note(events.failure),
    exceptionWhileLoadingCommandContext: note(events.failure),
    exceptionWhileRunningCommand: note(events.failure),
    exceptionWhileRunningIntegrationFlag: ({ exception }) => note(events.failure)(exception),
    commandErrorResult: note(events.failure),
    noCommandRegisteredForInput: ({ input, corrections }) => {
      events.unknownCommand(input, corrections);
      return "";
    },
  };
  return buildApplication<CliContext>(
    routes(tree, chosen),
    {
      name: "banger",
      scanner: {
        caseStyle: "allow-kebab-for-camel",
        allowArgumentEscapeSequence: true,
        // One slip of the finger; a guess that is farther off helps nobody.
        distanceOptions: { threshold: 3, weights: { insertion: 1, deletion: 3, substitution: 2, transposition: 0 } },
      },
      completion: { includeAliases: false, includeHiddenRoutes: false },
      localization: { text },
    },
    {
      help: {
        flag: {
          brief: "show this page",
          aliases: ["h"],
          global: true,
          defaultForRouteMap: true,
          complete: true,
          run: events.help,
        },
      },
    },
  );
}

const standIn: Command<CliContext> = buildCommand<NonNullable<unknown>, [], CliContext>({
  func: () => {},
  parameters: {},
  docs: { brief: "" },
});

function routes(group: Group, chosen: { leaf: Leaf; loaded: LoadedCommand } | undefined): RouteMap<CliContext> {
  const entries = Object.entries(group.entries);
  const target = (entry: Leaf | Group) => {
    if (entry.kind === "group") return routes(entry, chosen);
    return entry === chosen?.leaf ? chosen.loaded.command : standIn;
  };
  return buildRouteMap<string, CliContext>({
    routes: Object.fromEntries(entries.map(([name, entry]) => [name, target(entry)])),
    aliases: group.aliases,
    docs: {
      brief: group.summary,
      hideRoute: Object.fromEntries(entries.map(([name, entry]) => [name, entry.hidden === true])),
    },
  });
}
