// Reads config.toml. Everything that is wrong with it is told at once, each with its line.
import { readFileSync, statSync } from "node:fs";
import { parse, TomlError } from "smol-toml";
import * as v from "valibot";
import { BangerError } from "../lib/errors.ts";
import { fileSyncEntry } from "./file-sync.ts";
import { keyLines } from "./lines.ts";
import { type Config, type Host, resolveConfig, thisHost } from "./resolve.ts";
import { configSchema, networkPolicyTable } from "./schema.ts";

const maxBytes = 64 * 1024;

/**
 * The settings: from the file where it has them, else from the host or the built-in defaults. No file is no settings.
 * Throws config.invalid (`details.problems` holds one text for each problem) and config.unreadable.
 */
export function loadConfig(file: string, host: Host = thisHost()): Config {
  const text = readText(file);
  if (text === undefined) return resolveConfig(file, {}, new Map(), host);
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw invalid([`${file}:${error.line}: not valid TOML: ${syntaxProblem(error)}`], error);
  }
  const lines = keyLines(text);
  const checked = v.safeParse(configSchema, table);
  if (checked.success) return resolveConfig(file, checked.output, lines, host);
  const problems = checked.issues.map((issue) => {
    const path = issue.path?.map((item) => String(item.key)) ?? [];
    return { line: lineOf(lines, path), text: problem(path, issue) };
  });
  problems.sort((a, b) => a.line - b.line);
  throw invalid(problems.map((one) => `${file}:${one.line}: ${one.text}`));
}

function readText(file: string): string | undefined {
  try {
    if (statSync(file).size > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new BangerError("config.unreadable", `cannot read "${file}": ${(error as Error).message}`, {
      cause: error,
      hint: `ls -l ${file}`,
    });
  }
}

/** Of the key, or of the nearest thing around it that has one: values in a list have none. */
function lineOf(lines: ReadonlyMap<string, number>, path: readonly string[]): number {
  if (path.length === 0) return 1;
  return lines.get(path.join(".")) ?? lineOf(lines, path.slice(0, -1));
}

/** "[vm_defaults] memory_mib: expected a whole number of MiB (64 to 1048576), got "lots"". */
function problem(path: string[], issue: v.BaseIssue<unknown>): string {
  const section = path.slice(0, -1).join(".");
  const where = whereOf(path);
  const isUnknown = issue.kind === "schema" && issue.type === "strict_object" && issue.expected === "never";
  if (isUnknown) return `${where}: unknown key, expected one of ${knownKeys(section).join(", ")}`;
  if (issue.type === "strict_object" && issue.received === "undefined") return `${where}: it has to be given`;
  const expected = issue.type === "strict_object" ? "a table" : issue.message;
  return `${where}: expected ${expected}, got ${show(issue.input)}`;
}

/** "log_level", "[vm_defaults] vcpu", "file_sync[0].host". */
function whereOf(path: readonly string[]): string {
  const [first = "", second, third] = path;
  if (second === undefined) return first;
  if (!/^\d+$/.test(second)) return `[${path.slice(0, -1).join(".")}] ${path.at(-1)}`;
  return `${first}[${second}]${third === undefined ? "" : `.${third}`}`;
}

function knownKeys(section: string): string[] {
  if (section.startsWith("file_sync.")) return Object.keys(fileSyncEntry.entries);
  if (section.startsWith("network.policies.")) return Object.keys(networkPolicyTable.entries);
  const { vm_defaults: vmDefaults, templates, dns, network, images } = configSchema.entries;
  const sections = { vm_defaults: vmDefaults, templates, dns, network, images };
  const known = Object.entries(sections).find(([name]) => name === section)?.[1].wrapped.entries;
  return Object.keys(known ?? configSchema.entries);
}

/** The value as it could stand in the file, cut when long. */
function show(value: unknown): string {
  const text =
    JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner)) ?? "";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** The parser's message without its heading and the quoted lines. */
function syntaxProblem(error: TomlError): string {
  return (error.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
}

function invalid(problems: string[], cause?: unknown): BangerError {
  const file = problems[0]?.replace(/:\d+: .*$/s, "") ?? "";
  return new BangerError("config.invalid", problems.join("\n"), {
    cause,
    hint: `$EDITOR ${file}`,
    details: { problems },
  });
}
