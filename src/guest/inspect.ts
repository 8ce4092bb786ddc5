// What goes on in the guest: its processes, and what listens there. All of it is the guest's word, so it is cut and cleaned.
import { isIP } from "node:net";
import type { GuestAgent, GuestListener } from "./agent.ts";
import { StreamingCall } from "./call.ts";
import { finite, guestFailure, label } from "./failure.ts";
import type { ListenersResponse } from "./gen/banger/agent/v1/agent_pb.js";
import type { GuestSession } from "./session.ts";
import { unary } from "./unary.ts";

type InspectCalls = Pick<GuestAgent, "processes" | "listeners">;

/** So many are taken from a guest. */
const maxListed = 1000;
const maxListeners = 256;
const maxCommandCharacters = 512;

/** The calls of one session's agent. */
export function inspectCalls(session: GuestSession): InspectCalls {
  return {
    async processes({ intervalMs, ...options }) {
      const reply = await unary(session, guestFailure, options, (call) =>
        session.clients.inspect.processes({ intervalMs }, call),
      );
      return {
        processes: reply.processes.slice(0, maxListed).map((process) => ({
          pid: process.pid,
          parentPid: process.parentPid,
          uid: process.uid,
          state: label(process.state).slice(0, 1),
          cpuPercent: percent(process.cpuPercent),
          cpuMs: Number(process.cpuMs),
          residentBytes: Number(process.residentBytes),
          command: commandOf(process.command),
          ageMs: Number(process.ageMs),
        })),
        truncated: reply.truncated || reply.processes.length > maxListed,
      };
    },

    async *listeners({ follow, signal }) {
      const call = new StreamingCall<never, ListenersResponse>({
        session,
        codes: guestFailure,
        signal,
        start: (_requests, callSignal) => session.clients.inspectStreams.listeners({ follow }, { signal: callSignal }),
      });
      try {
        for (let reply = await call.next(); reply !== undefined; reply = await call.next()) {
          yield reply.listeners.slice(0, maxListeners).flatMap(listenerOf);
        }
      } finally {
        call.cancel();
      }
    },
  };
}

function listenerOf(from: ListenersResponse["listeners"][number]): GuestListener[] {
  const { protocol, address, port, pid } = from;
  // Addresses and ports go into lists that programs read: what is none is left out.
  if ((protocol !== "tcp" && protocol !== "udp") || isIP(address) === 0 || port < 1 || port > 65_535) return [];
  return [{ protocol, address, port, pid, process: label(from.process), command: commandOf(from.command) }];
}

const commandOf = (text: string) => label(text.slice(0, maxCommandCharacters));

/** With one digit; more than a machine of any size can spend is no number worth telling. */
const percent = (value: number) => Math.round(Math.min(finite(value), 1e6) * 10) / 10;
