// Writes what a release has to say of the software of others in it: name, version and licence of Node, of the npm packages in the bundles and of
// the Go modules in the programs for guests and networks.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

interface Part {
  name: string;
  version: string;
  directory: string;
}

interface Manifest {
  version?: string;
  license?: string;
  dependencies?: Record<string, string>;
}

const manifestOf = (directory: string) => JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;

/** The packages that the bundles are made of: what we depend on, and what that depends on. */
function npmPackages(): Part[] {
  const found = new Map<string, Part>();
  const visit = (names: string[]) => {
    for (const name of names.filter((each) => !found.has(each))) {
      const directory = join(root, "node_modules", name);
      const { version = "", dependencies = {} } = manifestOf(directory);
      found.set(name, { name, version, directory });
      visit(Object.keys(dependencies));
    }
  };
  visit([...Object.keys(manifestOf(root).dependencies ?? {}), `node-linux-${process.arch}`]);
  return [...found.values()];
}

function goModules(): Part[] {
  const format = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}";
  const list = execFileSync("go", ["list", "-deps", "-f", format, "./cmd/..."], {
    cwd: join(root, "go"),
    encoding: "utf8",
  });
  const modules = [...new Set(list.split("\n"))].filter((line) => line !== "").map((line) => line.split("\t"));
  const goRoot = execFileSync("go", ["env", "GOROOT", "GOVERSION"], { cwd: join(root, "go"), encoding: "utf8" }).split(
    "\n",
  );
  return [
    { name: "Go (standard library)", version: goRoot[1] ?? "", directory: goRoot[0] ?? "" },
    ...modules.map(([name = "", version = "", directory = ""]) => ({ name, version, directory })),
  ];
}

/** The texts that a part brings along; else the identifier that it names. */
function licenceOf({ name, directory }: Part): string {
  const files = readdirSync(directory).filter((file) => /^(?:licen[cs]e|copying|notice|patents)(?:\.|$)/i.test(file));
  const texts = files.toSorted().map((file) => readFileSync(join(directory, file), "utf8").trim());
  if (texts.length > 0) return texts.join("\n\n");
  const identifier = files.length === 0 ? manifestOf(directory).license : undefined;
  if (identifier === undefined) throw new Error(`"${name}" says nothing of its licence`);
  return `${identifier}\n\nThe texts by these names: https://spdx.org/licenses/; that of Apache-2.0 is in LICENSE, too.`;
}

const parts = [...npmPackages(), ...goModules()].toSorted((one, other) => (one.name < other.name ? -1 : 1));
const sections = parts.map((part) => `## ${part.name} ${part.version}\n\n\`\`\`\n${licenceOf(part)}\n\`\`\`\n`);
process.stdout.write(`# Software of others in this release\n\n${sections.join("\n")}`);
