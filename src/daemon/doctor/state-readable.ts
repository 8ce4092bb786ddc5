// Whether the database is whole and of a schema that this version knows.
import { inspectState } from "../../state/inspect.ts";
import { pass, type DoctorCheck } from "./check.ts";

export const stateReadable: DoctorCheck = {
  name: "state",
  run({ paths }) {
    const { schema, vms, images, kernels } = inspectState(paths.databaseFile);
    return pass(`${paths.databaseFile} (schema ${schema}): VMs ${vms}, images ${images}, kernels ${kernels}`);
  },
};
