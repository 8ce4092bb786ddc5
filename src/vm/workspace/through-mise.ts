// Commands in a workspace whose repository pins tools are run by mise, where the guest has it: then they find those versions.
import { join, relative } from "node:path/posix";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import type { ExecSpec, GuestAgent } from "../../guest/agent.ts";
import { toolFiles } from "../../workspace/toolchain/files.ts";

/** Where mise is put by its packages, its installer, and images that are made with it. */
const places = ["/usr/local/bin/mise", "/usr/bin/mise", "/root/.local/bin/mise"];

/**
 * mise chooses among what is installed: a command is no time to fetch something, which fails without a network. The command itself may
 * install things by mise again.
 */
const passing = { MISE_OFFLINE: "1", MISE_EXEC_AUTO_INSTALL: "0" };

/** The command as it is to be run. A login shell, and what runs elsewhere, stays as it is. */
export async function throughMise(
  agent: Pick<GuestAgent, "stat">,
  workspace: WorkspaceRecord | null,
  spec: ExecSpec,
  signal: AbortSignal,
): Promise<ExecSpec> {
  if (workspace === null || spec.argv.length === 0 || spec.user !== undefined) return spec;
  const { guestPath } = workspace;
  const inside = relative(guestPath, spec.cwd ?? "/");
  if (inside.startsWith("..")) return spec;
  const mise = await firstOf(agent, places, signal);
  if (mise === undefined) return spec;
  const files = toolFiles.map(({ name }) => join(guestPath, name));
  if ((await firstOf(agent, files, signal)) === undefined) return spec;
  const { environment = [] } = spec;
  const own = Object.entries(passing).filter(([name]) => !environment.some((given) => given.startsWith(`${name}=`)));
  const unset = own.length === 0 ? "" : `unset ${own.map(([name]) => name).join(" ")}; `;
  return {
    ...spec,
    // A shell says by its exit code that there is no such command, or that it cannot be run (127, 126); mise says 1 for both.
    argv: [mise, "exec", "--", "/bin/sh", "-c", `${unset}exec "$@"`, "sh", ...spec.argv],
    environment: [
      // Nobody is there to be asked whether the repository's file is trusted: all in the VM is of that trust.
      `MISE_TRUSTED_CONFIG_PATHS=${guestPath}`,
      "MISE_YES=1",
      ...environment,
      ...own.map(([name, value]) => `${name}=${value}`),
    ],
  };
}

/** The first of some files that is there; undefined when none is, or when the guest does not say. */
async function firstOf(
  agent: Pick<GuestAgent, "stat">,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const there = await Promise.all(
    paths.map((path) =>
      agent.stat(path, { signal, follow: true }).then(
        () => true,
        () => false,
      ),
    ),
  );
  return paths.find((_, at) => there[at]);
}
