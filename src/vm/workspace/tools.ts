// The tools of repositories in VMs: planned on the host, looked for and installed in the guest.
import { PassThrough } from "node:stream";
import type { ParamsOf, ResultOf } from "../../api/methods.ts";
import type { VmRecord } from "../../api/records.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { findRepository } from "../../workspace/source/find.ts";
import {
  installProblem,
  installScript,
  lookScript,
  missingTools,
  parseLook,
} from "../../workspace/toolchain/guest-tools.ts";
import { planToolchain } from "../../workspace/toolchain/plan.ts";
import type { Activity } from "../activity.ts";

/** What of all VMs is needed here. */
export interface ToolsVms {
  agent(reference: string): Promise<{ record: VmRecord; agent: GuestAgent; ended: AbortSignal }>;
  readonly activity: Activity;
}

/** A guest may take so long to look; installing compiles at times. */
const lookTimeoutMs = 60_000;
const installTimeoutMs = 60 * 60_000;
/** What is kept of a guest's output. */
const maxOutputBytes = 64 * 1024;

export class WorkspaceTools {
  readonly #vms: ToolsVms;

  constructor(vms: ToolsVms) {
    this.#vms = vms;
  }

  /** Throws `workspace.not-a-repository`. */
  async inspect(path: string, signal: AbortSignal): Promise<ResultOf<"workspace.toolchain.inspect">> {
    const { root } = await findRepository(path, { signal });
    return { root, ...(await planToolchain(root)) };
  }

  async install(
    { vm }: ParamsOf<"workspace.toolchain.install">,
    progress: Progress,
  ): Promise<ResultOf<"workspace.toolchain.install">> {
    const { record, agent, ended } = await this.#vms.agent(vm);
    const { workspace } = record;
    using _activity = this.#vms.activity.begin(record.id);
    if (workspace === null) {
      throw new BangerError("workspace.none", `no repository was put into VM "${record.name}"`, {
        hint: `banger vm workspace prepare ${record.name} <path>`,
      });
    }
    const { guestPath, root } = workspace;
    const plan = await planToolchain(root);
    const network = record.network.state === "up";
    const run = async (argv: string[], signal: AbortSignal) => {
      const ran = await runIn(agent, argv, signal);
      // A VM that is being stopped ends its processes: that says nothing of its tools.
      if (ran.code !== 0) ended.throwIfAborted();
      return ran;
    };
    const look = async () => {
      progress.stage("look", plan.tools.map(({ tool }) => tool).join(", "));
      const signal = AbortSignal.any([progress.signal, AbortSignal.timeout(lookTimeoutMs)]);
      const { output } = await run(lookScript(guestPath, plan.tools), signal);
      const guest = parseLook(output);
      const missing = new Set(missingTools(plan, guest));
      const tools = plan.tools.map((pin) => ({
        ...pin,
        found: guest.versions.get(pin.tool) ?? null,
        missing: missing.has(pin),
      }));
      return { tools, mise: guest.mise, missing: [...missing] };
    };
    if (plan.tools.length === 0) return { tools: [], mise: false, network, installed: false, problem: "" };
    const { missing, ...found } = await look();
    if (missing.length === 0) return { ...found, network, installed: false, problem: "" };
    if (!network) return { ...found, network, installed: false, problem: "the VM has no network to fetch them from" };
    if (!found.mise)
      return { ...found, network, installed: false, problem: "its image has no mise, which installs them" };
    progress.stage("install", missing.map(({ tool, version }) => `${tool}@${version ?? "?"}`).join(", "));
    const signal = AbortSignal.any([progress.signal, AbortSignal.timeout(installTimeoutMs)]);
    const { code, output } = await run(installScript(guestPath, missing), signal);
    const after = await look();
    const problem =
      after.missing.length === 0
        ? ""
        : `mise ended with exit code ${code}: ${installProblem(output)} (/root/.cache/banger/tools.log in the guest)`;
    return { tools: after.tools, mise: true, network, installed: code === 0, problem };
  }
}

/** The end of stdout and stderr together. */
async function runIn(
  agent: GuestAgent,
  argv: string[],
  signal: AbortSignal,
): Promise<{ code: number; output: string }> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const { exited } = await agent.exec({ argv, cwd: "/", user: "root", stdout, stderr }, { signal });
  const kept = keepEnd(stdout);
  stderr.resume();
  const { code } = await exited;
  stdout.end();
  return { code, output: await kept };
}

async function keepEnd(stream: PassThrough): Promise<string> {
  let end = "";
  for await (const chunk of stream.setEncoding("utf8") as AsyncIterable<string>)
    end = (end + chunk).slice(-maxOutputBytes);
  return end;
}
