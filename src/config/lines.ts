// Says on which line of a TOML text each key stands. The TOML parser tells lines only for syntax errors, so the text is cut
// into statements by asking that same parser what is whole: no second idea of TOML's grammar that could differ.
import { parse } from "smol-toml";

/**
 * Dotted path ("vm_defaults.vcpu", "file_sync.0.host") of each key and table header -> line, from 1. The text must be valid TOML.
 */
export function keyLines(text: string): Map<string, number> {
  const lines = new Map<string, number>();
  const add = (path: string[], line: number) => {
    const key = path.join(".");
    if (path.length > 0 && !lines.has(key)) lines.set(key, line);
  };
  let section: string[] = [];
  const tables = new Map<string, number>();
  let statement = "";
  let startLine = 1;
  for (const [index, line] of text.split("\n").entries()) {
    statement += `${line}\n`;
    const table = parsed(statement);
    // A value that goes on over several lines is not whole yet.
    if (table === undefined) continue;
    if (statement.trimStart().startsWith("[")) {
      section = chain(table);
      add(section, startLine);
      if (statement.trimStart().startsWith("[[")) {
        const before = tables.get(section.join(".")) ?? 0;
        tables.set(section.join("."), before + 1);
        section = [...section, String(before)];
        add(section, startLine);
      }
    } else {
      for (const path of paths(table)) {
        for (let depth = 1; depth <= path.length; depth++) add([...section, ...path.slice(0, depth)], startLine);
      }
    }
    statement = "";
    startLine = index + 2;
  }
  return lines;
}

function parsed(statement: string): Record<string, unknown> | undefined {
  try {
    return parse(statement);
  } catch {
    return undefined;
  }
}

/** Keys of a header's table: "[a.b]" and "[[a.b]]" are a chain of single keys. */
function chain(table: unknown): string[] {
  if (Array.isArray(table)) return chain(table[0]);
  const [entry] = isTable(table) ? Object.entries(table) : [];
  return entry === undefined ? [] : [entry[0], ...chain(entry[1])];
}

function paths(table: Record<string, unknown>): string[][] {
  return Object.entries(table).flatMap(([key, value]) => {
    const below = isTable(value) ? paths(value) : [];
    return below.length === 0 ? [[key]] : below.map((path) => [key, ...path]);
  });
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
