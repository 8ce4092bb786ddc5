// How a guest is configured for its network, as banger-netd says it.
import { BangerError } from "../lib/errors.ts";
import type { Addresses } from "./gen/banger/netd/v1/netd_pb.js";

export interface GuestAddresses {
  interface: string;
  ipv4: { address: string; gateway: string };
  ipv6: { address: string; gateway: string };
  nameServers: readonly string[];
  /** Bytes. */
  mtu: number;
}

/** Throws `network.failed` when something is missing. */
export function guestAddresses(addresses: Addresses | undefined): GuestAddresses {
  if (addresses === undefined) throw new BangerError("network.failed", "the VM's network does not say its addresses");
  const { gatewayIpv4, gatewayIpv6, guestIpv4Cidr, guestIpv6Cidr, mtu } = addresses;
  return {
    interface: "eth0",
    ipv4: { address: guestIpv4Cidr, gateway: gatewayIpv4 },
    ipv6: { address: guestIpv6Cidr, gateway: gatewayIpv6 },
    nameServers: [gatewayIpv4, gatewayIpv6],
    mtu,
  };
}
