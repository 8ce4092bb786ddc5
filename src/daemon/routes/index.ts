// The table of all routes.
import type { Routes } from "../handler.ts";
import { configRoutes } from "./config.ts";
import { daemonRoutes } from "./daemon.ts";
import type { RouteContext } from "./context.ts";
import { dnsRoutes } from "./dns.ts";
import { forwardRoutes } from "./forward.ts";
import { imageRoutes } from "./image.ts";
import { kernelRoutes } from "./kernel.ts";
import { networkRoutes } from "./network.ts";
import { operationRoutes } from "./operation.ts";
import { peerRoutes } from "./peers.ts";
import { registryRoutes } from "./registry.ts";
import { secretRoutes } from "./secret.ts";
import { snapshotRoutes } from "./snapshot.ts";
import { systemRoutes } from "./system.ts";
import { templateRoutes } from "./template.ts";
import { vmRoutes } from "./vm.ts";
import { vmGuestRoutes } from "./vm-guest.ts";
import { vmRecordRoutes } from "./vm-record.ts";
import { vmSetRoutes } from "./vm-set.ts";
import { vmFileRoutes } from "./vm-files.ts";
import { workspaceExportRoutes } from "./workspace-export.ts";
import { workspaceToolRoutes } from "./workspace-tools.ts";
import { workspaceRoutes } from "./workspace.ts";
import { dialRoute } from "./vm-dial.ts";
import { execRoute } from "./vm-exec.ts";

export function buildRoutes(context: RouteContext): Routes {
  return {
    ...daemonRoutes(context),
    ...configRoutes(context),
    ...operationRoutes(context),
    ...vmRoutes(context),
    ...vmGuestRoutes(context),
    ...vmRecordRoutes(context),
    ...vmSetRoutes(context),
    ...forwardRoutes(context),
    ...networkRoutes(context),
    ...secretRoutes(context),
    ...peerRoutes(context),
    ...dnsRoutes(context),
    ...vmFileRoutes(context),
    "vm.exec": execRoute(context),
    "vm.dial": dialRoute(context),
    ...workspaceRoutes(context),
    ...workspaceExportRoutes(context),
    ...workspaceToolRoutes(context),
    ...imageRoutes(context),
    ...kernelRoutes(context),
    ...registryRoutes(context),
    ...snapshotRoutes(context),
    ...templateRoutes(context),
    ...systemRoutes(context),
  };
}
