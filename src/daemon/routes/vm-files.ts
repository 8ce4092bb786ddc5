// Files of running VMs.
import { toBangerError } from "../../lib/errors.ts";
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

const fileTypeMask = 0o170000;
const directoryType = 0o040000;

export function vmFileRoutes({ services: { vms } }: RouteContext): RoutesOf<"vm.pack" | "vm.unpack" | "vm.stat"> {
  return {
    "vm.pack": async ({ vm, path }, { signal }) => {
      const { agent } = await vms.agent(vm);
      return agent.readTar(path, { signal });
    },
    "vm.unpack": async ({ vm, directory }, body, { signal }) => {
      const { agent } = await vms.agent(vm);
      return agent.writeTar(directory, body, { signal });
    },
    "vm.stat": async ({ vm, path }, { signal }) => {
      const { agent } = await vms.agent(vm);
      try {
        const { mode, sizeBytes } = await agent.stat(path, { signal, follow: true });
        return { file: { mode, sizeBytes, directory: (mode & fileTypeMask) === directoryType } };
      } catch (error) {
        if (toBangerError(error).code === "file.not-found") return { file: null };
        throw error;
      }
    },
  };
}
