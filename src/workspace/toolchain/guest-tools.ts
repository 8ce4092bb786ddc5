// The tools of a plan in a guest: which are there, in which version, and how the others are installed.
import { miseFiles } from "./files.ts";
import type { ToolchainPlan } from "./plan.ts";
import type { PinnedTool } from "./tool.ts";

/** What the guest says about itself. */
export interface GuestTools {
  mise: boolean;
  /** Tool -> version of the one that would be run; absent: there is none. */
  versions: ReadonlyMap<string, string>;
}

const plainTool = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/**
 * A script that prints "mise" when the guest has it, and "<tool> <version>" for each tool that it has. With mise the tools are those
 * that it would choose in the directory; none is installed by the look.
 */
export function lookScript(directory: string, tools: readonly PinnedTool[]): string[] {
  const names = tools.map(({ tool }) => tool).filter((tool) => plainTool.test(tool));
  return ["sh", "-c", look, "banger-tools", directory, ...names];
}

const environment = `PATH="$HOME/.local/bin:$HOME/.local/share/mise/shims:$PATH"
export HOME PATH MISE_YES=1 MISE_TRUSTED_CONFIG_PATHS="$directory"`;

const look = `HOME=\${HOME:-/root}
directory=$1
shift
${environment}
export MISE_QUIET=1 MISE_OFFLINE=1 MISE_EXEC_AUTO_INSTALL=0
cd "$directory" || exit 1
run() { "$@" 2>/dev/null </dev/null | head -n 1; }
if command -v mise >/dev/null; then
  echo mise
  run() { mise exec -- "$@" 2>/dev/null </dev/null | head -n 1; }
fi
for tool; do
  case $tool in
    go) version=$(run go version) ;;
    python) version=$(run python3 --version); [ -n "$version" ] || version=$(run python --version) ;;
    rust) version=$(run rustc --version) ;;
    *) version=$(run "$tool" --version) ;;
  esac
  [ -z "$version" ] || printf '%s %s\\n' "$tool" "$version"
done
`;

/** Reads what the script printed; of what a guest prints besides nothing is believed. */
export function parseLook(output: string): GuestTools {
  const versions = new Map<string, string>();
  let mise = false;
  for (const line of output.split("\n")) {
    if (line === "mise") mise = true;
    const [, tool, rest = ""] = /^(\S+) (.{1,200})$/.exec(line) ?? [];
    const version = /\d+(?:\.\d+)+(?:[\w.+-]{0,20})?|\d+/.exec(rest)?.[0];
    if (tool !== undefined && version !== undefined) versions.set(tool, version);
  }
  return { mise, versions };
}

/** Sources that say the least version that will do, not the one that is wanted. */
const atLeast = new Set(["go.mod", "package.json"]);

/** Whether a version that is there is what a pin means. */
export function satisfies({ version, source }: PinnedTool, found: string): boolean {
  if (version === null || !/^\d/.test(version)) return true;
  const [wanted, has] = [version, found].map((text) => text.split(/[.+-]/));
  if (wanted === undefined || has === undefined) return false;
  for (const [at, part] of wanted.entries()) {
    if (part === has[at]) continue;
    return atLeast.has(source) && Number(has[at] ?? 0) > Number(part);
  }
  return true;
}

/** The pins of a plan that a guest does not fulfil. */
export function missingTools({ tools }: ToolchainPlan, guest: GuestTools): PinnedTool[] {
  return tools.filter((pin) => {
    const found = guest.versions.get(pin.tool);
    return found === undefined ? plainTool.test(pin.tool) || !guest.mise : !satisfies(pin, found);
  });
}

/** What a failed install is told by: the first error that mise names, else its last line. */
export function installProblem(output: string): string {
  const lines = output.trim().split("\n");
  const error = lines.find((line) => line.startsWith("mise ERROR "));
  return error?.slice("mise ERROR ".length) ?? lines.at(-1) ?? "";
}

/** A script that lets mise install what the repository's own files name, and then what other files pin. */
export function installScript(directory: string, missing: readonly PinnedTool[]): string[] {
  const others = missing.filter(({ source, version }) => !miseFiles.has(source) && version !== null);
  return ["sh", "-c", install, "banger-tools", directory, ...others.map(({ tool, version }) => `${tool}@${version}`)];
}

const install = `HOME=\${HOME:-/root}
directory=$1
shift
${environment}
mkdir -p "$HOME/.cache/banger"
cd "$directory" || exit 1
log=$HOME/.cache/banger/tools.log
(
  mise install --yes || exit
  for tool; do mise use --global --pin --yes "$tool" || exit; done
) >"$log" 2>&1 </dev/null
code=$?
cat "$log"
exit $code
`;
