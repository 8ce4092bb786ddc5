// Opens a session with a guest's agent and gives it to the daemon as a GuestAgent.
//
// Connect's own client makes the calls. Measured on a unix socket with 2 busy cores (medians of 100, agent on the same machine):
// a unary call 0.4-0.6 ms, exec of "true" with its streams 1.8-2.9 ms, against 2.1 ms for spawning "true" from Node itself:
// a client of our own could win less than a millisecond.
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type {
  CallOptions,
  ConnectGuest,
  GuestAgent,
  GuestConfig,
  GuestIdentity,
  GuestNetwork,
  GuestPhase,
  GuestSteps,
} from "./agent.ts";
import { BangerError } from "../lib/errors.ts";
import { dial } from "./dial.ts";
import { exec } from "./exec.ts";
import { finite, guestFailure, label, printable } from "./failure.ts";
import { fileCalls } from "./files.ts";
import { inspectCalls } from "./inspect.ts";
import { Phase } from "./gen/banger/agent/v1/agent_pb.js";
import { shakeHands } from "./handshake.ts";
import { GuestSession } from "./session.ts";
import { unary } from "./unary.ts";
import { workspaceCalls } from "./workspace.ts";

/** Version of the contract that this side speaks. */
const protocolVersion = 1;
const entropyBytes = 64;
/** Of steps and disks, that many are taken from a guest: an honest one has a handful. */
const maxListed = 64;

const phases: Partial<Record<Phase, GuestPhase>> = {
  [Phase.WAITING]: "waiting",
  [Phase.CONFIGURING]: "configuring",
  [Phase.RUNNING]: "running",
  [Phase.FAILED]: "failed",
  [Phase.STOPPING]: "stopping",
  [Phase.FROZEN]: "frozen",
};

/** See the type. The handshake has no deadline of its own: give a signal that has one. */
export const connectGuest: ConnectGuest = async (channel: Duplex, options: CallOptions): Promise<GuestAgent> => {
  try {
    await shakeHands(channel, options.signal);
  } catch (error) {
    channel.on("error", () => {});
    channel.destroy();
    throw error;
  }
  return guestAgent(new GuestSession(channel));
};

/** Clock and entropy, taken when the call is sent. */
function thisMoment(): { wallClockUnixNanos: bigint; entropy: Uint8Array<ArrayBuffer> } {
  return {
    wallClockUnixNanos: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(entropyBytes),
  };
}

function layoutOf({ base, overlay, work }: GuestConfig["disks"]) {
  return { baseSerial: base, overlaySerial: overlay, workSerial: work };
}

function sshOf(ssh: GuestIdentity["ssh"]) {
  return { hostKeyPem: Buffer.from(ssh.hostKeyPem), authorizedKeys: [...ssh.authorizedKeys] };
}

function identityOf({ vmId, hostname, ssh, bootId, network }: GuestIdentity) {
  return { vmId, hostname, ssh: sshOf(ssh), bootId, ...(network && { network: networkOf(network) }) };
}

function networkOf({ ipv4, ipv6, mtu, nameServers, ...rest }: GuestNetwork) {
  return {
    interface: rest.interface,
    addressCidr: ipv4.address,
    gateway: ipv4.gateway,
    ...(ipv6 && { address6Cidr: ipv6.address, gateway6: ipv6.gateway }),
    dnsServers: [...nameServers],
    mtu,
  };
}

function stepsOf(reply: { steps: { name: string; durationUs: number }[] }): GuestSteps {
  return reply.steps
    .slice(0, maxListed)
    .map((step) => ({ name: label(step.name), durationMs: step.durationUs / 1000 }));
}

function guestAgent(session: GuestSession): GuestAgent {
  const { agent } = session.clients;
  return {
    closed: session.closed,
    end: (why) => session.end(why),
    whenLost: (why) => session.whenLost(why),

    async hello(options) {
      const reply = await unary(session, guestFailure, options, (call) => agent.hello({}, call));
      if (reply.protocol !== protocolVersion) {
        throw new BangerError(
          "guest.failed",
          `the guest's agent speaks protocol ${reply.protocol}, this banger speaks ${protocolVersion}`,
        );
      }
      const phase = phases[reply.phase];
      if (phase === undefined) throw session.violation(`phase ${reply.phase}`);
      return {
        agentVersion: label(reply.agentVersion),
        phase,
        bootId: label(reply.bootId),
        kernelRelease: label(reply.kernelRelease),
        architecture: label(reply.architecture),
        failure: printable(reply.failure),
        vmId: label(reply.vmId),
        readyUptimeMs: Number(reply.readyUptimeMs),
      };
    },

    async assemble({ disks, directories }, options) {
      const root = { ...thisMoment(), disks: layoutOf(disks), directories: [...(directories ?? [])] };
      return stepsOf(await unary(session, guestFailure, options, (call) => agent.assemble(root, call)));
    },

    async configure(config, options) {
      const reply = await unary(session, guestFailure, options, (call) =>
        agent.configure(
          {
            vmId: config.vmId,
            hostname: config.hostname,
            disks: layoutOf(config.disks),
            ssh: sshOf(config.ssh),
            ...thisMoment(),
            environment: [...config.environment],
            defaultUser: config.defaultUser,
            defaultWorkdir: config.defaultWorkdir,
            bootId: config.bootId,
            init: config.init ?? "",
            warmUp: config.warmUp ?? false,
            ...(config.git && { gitIdentity: config.git }),
            directories: [...(config.directories ?? [])],
            ...(config.network && { network: networkOf(config.network) }),
          },
          call,
        ),
      );
      return stepsOf(reply);
    },

    async freeze(options) {
      await unary(session, guestFailure, options, (call) => agent.freeze({ sync: options.sync }, call));
    },

    async thaw(options) {
      const identity = options.identity === undefined ? undefined : identityOf(options.identity);
      const reply = await unary(session, guestFailure, options, (call) =>
        agent.thaw({ ...thisMoment(), ...(identity && { identity }) }, call),
      );
      return stepsOf(reply);
    },

    async health(options) {
      const reply = await unary(session, guestFailure, options, (call) => agent.health({}, call));
      return { healthy: reply.healthy, reason: printable(reply.reason), uptimeMs: Number(reply.uptimeMs) };
    },

    async stats(options) {
      const reply = await unary(session, guestFailure, options, (call) => agent.stats({}, call));
      return {
        uptimeMs: Number(reply.uptimeMs),
        memoryTotalBytes: Number(reply.memoryTotalBytes),
        memoryAvailableBytes: Number(reply.memoryAvailableBytes),
        load1: finite(reply.load1),
        processes: reply.processes,
        disks: reply.disks.slice(0, maxListed).map((disk) => ({
          mountPoint: label(disk.mountPoint),
          totalBytes: Number(disk.totalBytes),
          usedBytes: Number(disk.usedBytes),
        })),
      };
    },

    async growDisks({ overlayBytes = 0, workBytes = 0, signal }) {
      const sizes = { overlayBytes: BigInt(overlayBytes), workBytes: BigInt(workBytes) };
      await unary(session, guestFailure, { signal }, (call) => agent.growDisks(sizes, call));
    },

    async setNetwork(network, options) {
      const request = network === undefined ? {} : { network: networkOf(network) };
      await unary(session, guestFailure, options, (call) => agent.setNetwork(request, call));
    },

    async shutdown(options) {
      await unary(session, guestFailure, options, (call) =>
        agent.shutdown({ graceMs: options.graceMs ?? 0, mainGraceMs: options.mainGraceMs ?? 0 }, call),
      );
    },

    exec: (spec, options) => exec(session, spec, options),
    dial: (target, options) => dial(session, target, options),
    ...fileCalls(session),
    ...inspectCalls(session),
    ...workspaceCalls(session),

    async [Symbol.asyncDispose]() {
      session.close({ reason: "the daemon ended the session", protocol: false });
      await session.closed;
    },
  };
}
