// Where connections may go. The host that the user named may be anywhere; hosts that the registry names (redirects, token
// servers) may not be on this host's or its network's private addresses, unless the registry itself is there. What is
// checked is the address that the connection then uses: a name cannot change in between.
import { lookup, type LookupAddress } from "node:dns";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { BangerError } from "../lib/errors.ts";
import { addressKind, type AddressKind } from "./address.ts";

export interface ConnectPolicy extends Disposable {
  /** Agent and name look-up for a request to `url`. Throws `registry.failed` when nothing may go there. */
  route(url: URL): { agent: HttpAgent; lookup: LookupFunction };
  /** Takes note of the address that an answer to a request to `url` came from. */
  answered(url: URL, address: string | undefined): void;
  /** True when plain HTTP may be spoken with that host, as far as its name tells. */
  mayBePlain(url: URL): boolean;
  /** True when the URL is of the host that the user named, on any port. */
  isRegistry(url: URL): boolean;
}

export interface ConnectOptions {
  /** Host and port of the registry, as in a URL. */
  endpoint: string;
  /** Plain HTTP, and certificates that nobody signed, are fine for the registry itself. */
  insecure: boolean;
}

/** Kinds of addresses that a registry at an address of `kind` may point at. */
const reachable: Record<AddressKind, readonly AddressKind[]> = {
  public: [],
  private: ["private"],
  loopback: ["loopback"],
  "link-local": ["link-local"],
  never: [],
};

const keptSockets = { keepAlive: true, maxFreeSockets: 8, timeout: 60_000 };

/** The policy of one registry. The caller disposes it: that closes connections that are idle; the others close when they are. */
export function connectPolicy({ endpoint, insecure }: ConnectOptions): ConnectPolicy {
  const registryHost = new URL(`http://${endpoint}`).hostname;
  const allowed = new Set<AddressKind>(["public"]);
  /** Addresses that the registry's name has had. One of them may be a trap: only where an answer came from is where it is. */
  const candidates = new Set<string>();
  const isRegistry = (url: URL) => url.hostname === registryHost;

  // Foreign hosts have agents of their own: a connection that was made under one rule is never used under the other. So have
  // hosts of loopback, which no proxy reaches.
  const agents = new Map<string, HttpAgent>();
  const agentFor = (url: URL): HttpAgent => {
    const [secure, own, local] = [url.protocol === "https:", isRegistry(url), isLoopbackName(url)];
    const key = `${secure} ${own} ${local}`;
    let agent = agents.get(key);
    if (agent === undefined) {
      const options = { ...keptSockets, ...(local ? {} : { proxyEnv: process.env }) };
      agent = secure ? new HttpsAgent({ ...options, rejectUnauthorized: !(insecure && own) }) : new HttpAgent(options);
      agents.set(key, agent);
    }
    return agent;
  };

  const accept = (url: URL, address: string): boolean => {
    const kind = addressKind(address);
    // Over plain HTTP a name alone must not decide that the other end is this machine.
    if (url.protocol === "http:" && kind !== "loopback" && !(insecure && isRegistry(url))) return false;
    if (!isRegistry(url)) return allowed.has(kind);
    candidates.add(address);
    return true;
  };

  return {
    isRegistry,
    answered(url, address = "") {
      // Through a proxy the address is the proxy's, and says nothing of the registry.
      if (!isRegistry(url) || !candidates.has(address)) return;
      for (const kind of reachable[addressKind(address)]) allowed.add(kind);
    },
    mayBePlain: (url) => isLoopbackName(url) || (insecure && isRegistry(url)),
    route(url) {
      const literal = url.hostname.replaceAll(/[[\]]/g, "");
      if (isIP(literal) !== 0 && !accept(url, literal)) throw refused(url, literal);
      return { agent: agentFor(url), lookup: checkedLookup(url, (address) => accept(url, address)) };
    },
    [Symbol.dispose]() {
      for (const agent of agents.values()) {
        agent.maxFreeSockets = 0;
        for (const socket of Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? [])) socket.destroy();
      }
    },
  };
}

function isLoopbackName({ hostname }: URL): boolean {
  const literal = hostname.replaceAll(/[[\]]/g, "");
  if (isIP(literal) !== 0) return addressKind(literal) === "loopback";
  return hostname === "localhost" || hostname.endsWith(".localhost");
}

function checkedLookup(url: URL, accept: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => {
      if (error !== null) return callback(error, [], 0);
      const fit = found.filter(({ address }) => accept(address));
      const [first] = fit;
      if (first === undefined) return callback(refused(url, found[0]?.address ?? "nothing"), [], 0);
      return options.all === true ? callback(null, fit) : callback(null, first.address, first.family);
    });
  };
}

function refused(url: URL, address: string): BangerError {
  const kind = addressKind(address);
  const why =
    url.protocol === "http:" && kind === "public"
      ? "plain HTTP is for this machine only"
      : `${address} is ${kind === "never" ? "no address of a server" : `a ${kind} address`}`;
  return new BangerError("registry.failed", `will not connect to "${url.host}": ${why}`, {
    details: { host: url.host, address },
  });
}
