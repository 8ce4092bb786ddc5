// The version texts. Imports next to nothing: `banger version` is answered before the rest of the program is loaded.
import { buildInfo } from "../lib/build-info.ts";

/** One line: "banger 0.1.0 (commit 1a2b3c4d, built 2026-05-01T10:00:00.000Z)". */
export function versionLine(): string {
  return `banger ${buildInfo.version} (commit ${buildInfo.commit.slice(0, 8)}, built ${builtAt()})`;
}

/** One fact on each line, with the whole commit id. */
export function versionText(): string {
  return `version  ${buildInfo.version}\ncommit   ${buildInfo.commit}\nbuilt    ${builtAt()}\nnode     ${process.version}\n`;
}

/** The same facts for programs. */
export function versionRecord(): Record<string, string | null> {
  return {
    version: buildInfo.version,
    commit: buildInfo.commit,
    builtAt: buildInfo.builtAt === 0 ? null : builtAt(),
    node: process.version,
  };
}

function builtAt(): string {
  return buildInfo.builtAt === 0 ? "from source" : new Date(buildInfo.builtAt).toISOString();
}
