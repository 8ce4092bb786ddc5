// What routes work with.
import type { BuildInfo } from "../../lib/build-info.ts";
import type { Paths } from "../../config/paths.ts";
import type { Dns } from "../dns/dns.ts";
import type { Holds } from "../holds.ts";
import type { Operations } from "../operations.ts";
import type { Services } from "../services.ts";
import type { Sessions } from "../sessions.ts";

export interface RouteContext {
  services: Omit<Services, keyof AsyncDisposable>;
  operations: Operations;
  holds: Holds;
  dns: Dns;
  sessions: Sessions;
  paths: Paths;
  build: BuildInfo;
  startedAt: number;
  /** Begins to stop the daemon, after the reply of the current call was sent. */
  requestStop(): void;
}
