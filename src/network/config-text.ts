// What a banger-netd is started with, in the JSON form of its contract.
import { create, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import type { NetworkPolicy } from "../api/network-records.ts";
import { ConfigSchema, type SecretsSchema } from "./gen/banger/netd/v1/netd_pb.js";
import { policyMessage } from "./policy.ts";

export interface NetdConfig {
  vmId: string;
  startId: string;
  /** "address" or "address:port"; empty: the host's. */
  resolvers: readonly string[];
  policy: NetworkPolicy;
  secrets: MessageInitShape<typeof SecretsSchema> | undefined;
}

export function configText({ vmId, startId, resolvers, policy, secrets }: NetdConfig): string {
  const config = create(ConfigSchema, {
    ...{ vmId, startId, resolvers: [...resolvers], policy: policyMessage(policy) },
    ...(secrets && { secrets }),
  });
  return toJsonString(ConfigSchema, config);
}
