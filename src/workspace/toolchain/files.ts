// The files in which repositories pin tools, one reader for each. A reader is given the file's text and throws nothing: what it does
// not understand pins nothing.
import { parse as parseToml } from "smol-toml";
import { plainVersion, rangeVersion, toolName, type PinnedTool } from "./tool.ts";

type Pins = Omit<PinnedTool, "source">[];

/** What of a table is of use here. */
type Table = Record<string, unknown>;

/** File names and their readers; of two files that pin the same tool the first one counts. */
export const toolFiles: readonly { name: string; read: (text: string) => Pins }[] = [
  { name: "mise.toml", read: miseToml },
  { name: ".mise.toml", read: miseToml },
  { name: ".tool-versions", read: toolVersions },
  { name: "go.mod", read: goMod },
  { name: ".node-version", read: nodeVersion },
  { name: ".nvmrc", read: nodeVersion },
  { name: "package.json", read: packageJson },
  { name: ".python-version", read: pythonVersion },
  { name: "rust-toolchain.toml", read: rustToolchain },
  { name: "rust-toolchain", read: rustToolchain },
];

/** Files that mise acts on by itself. */
export const miseFiles: ReadonlySet<string> = new Set(["mise.toml", ".mise.toml", ".tool-versions"]);

const pin = (tool: string, wanted: string, version = plainVersion(wanted)): Pins[number] => ({
  tool: toolName(tool),
  wanted,
  version,
});

function miseToml(text: string): Pins {
  return Object.entries(table(toml(text)["tools"])).flatMap(([tool, value]) => {
    const first: unknown = Array.isArray(value) ? value[0] : value;
    const wanted = typeof first === "string" ? first : table(first)["version"];
    return typeof wanted === "string" ? [pin(tool, wanted)] : [];
  });
}

function toolVersions(text: string): Pins {
  return lines(text).flatMap((line) => {
    const [tool, wanted] = line.split(/\s+/);
    return tool === undefined || wanted === undefined ? [] : [pin(tool, wanted)];
  });
}

function goMod(text: string): Pins {
  const toolchain = /^toolchain\s+go(\S+)/m.exec(text)?.[1];
  const wanted = toolchain ?? /^go\s+(\d\S*)/m.exec(text)?.[1];
  return wanted === undefined ? [] : [pin("go", wanted)];
}

function nodeVersion(text: string): Pins {
  const wanted = lines(text)[0];
  if (wanted === undefined) return [];
  const lts = /^lts\/(.+)$/.exec(wanted)?.[1];
  if (lts !== undefined) return [pin("node", wanted, lts === "*" ? "lts" : plainVersion(`lts-${lts}`))];
  return [wanted === "node" || wanted === "stable" ? pin("node", wanted, "latest") : pin("node", wanted)];
}

function packageJson(text: string): Pins {
  let node: unknown;
  try {
    node = table(table(JSON.parse(text) as unknown)["engines"])["node"];
  } catch {
    return [];
  }
  return typeof node === "string" && node.trim() !== "" ? [pin("node", node, rangeVersion(node))] : [];
}

function pythonVersion(text: string): Pins {
  const wanted = lines(text)[0];
  return wanted === undefined ? [] : [pin("python", wanted)];
}

function rustToolchain(text: string): Pins {
  const channel = table(toml(text)["toolchain"])["channel"];
  const wanted = typeof channel === "string" ? channel : /^[\w.-]+$/.exec(text.trim())?.[0];
  return wanted === undefined ? [] : [pin("rust", wanted)];
}

/** Without comments and empty lines. */
function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/#.*$/, "").trim())
    .filter((line) => line !== "");
}

function toml(text: string): Table {
  try {
    return parseToml(text);
  } catch {
    return {};
  }
}

function table(value: unknown): Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Table) : {};
}
