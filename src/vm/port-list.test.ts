// Lists of what listens: at once, and again when a server has said what it speaks. The guest is made up; its servers are sockets of this process.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import type { GuestAgent, GuestListener } from "../guest/agent.ts";
import { describedPorts } from "./port-list.ts";

let servers: Server[];
let lists: PromiseWithResolvers<GuestListener[]>[];
let dialled: string[];

beforeEach(() => {
  servers = [];
  lists = [];
  dialled = [];
});
afterEach(() => servers.forEach((server) => server.close()));

async function listener(onConnection: (socket: Socket) => unknown): Promise<GuestListener> {
  const server = createServer((socket) => void onConnection(socket)).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { protocol: "tcp", address: "127.0.0.1", port, pid: 7, process: "p", command: "c" };
}

const agent: Pick<GuestAgent, "listeners" | "dial"> = {
  async *listeners({ signal }) {
    for (let at = 0; ; at++) {
      const ended = once(signal, "abort").then(() => Promise.reject(new Error("cancelled")));
      yield await Promise.race([said(at).promise, ended]);
    }
  },
  async dial(target) {
    const { tcp = "" } = target as { tcp?: string };
    dialled.push(tcp);
    const socket = connect(Number(tcp.split(":")[1]), "127.0.0.1");
    await once(socket, "connect");
    return socket;
  },
};

const says = (at: number, ...all: GuestListener[]) => said(at).resolve(all);

function said(at: number): PromiseWithResolvers<GuestListener[]> {
  return (lists[at] ??= Promise.withResolvers());
}

const { signal } = new AbortController();

test("followed: the list is there before its servers answer, and again when one is HTTP; each is asked once", async () => {
  const answer = Promise.withResolvers<void>();
  const web = await listener(async (socket) => {
    await answer.promise;
    socket.end("HTTP/1.0 200 OK\r\n\r\n");
  });
  const mute = await listener(() => {});
  const forwards = [{ listen: "127.0.0.1:9000", target: `localhost:${web.port}`, listening: true }] as never;
  const seen = describedPorts(agent, () => forwards, { follow: true, signal });
  const next = async () => {
    const { value } = await seen.next();
    return (value || []).map(({ http, port, url }) => ({ http, port, url }));
  };
  const plain = { http: false, port: mute.port, url: null };
  says(0, web);
  assert.deepEqual(await next(), [{ http: false, port: web.port, url: null }]);
  answer.resolve();
  const known = { http: true, port: web.port, url: "http://127.0.0.1:9000/" };
  assert.deepEqual(await next(), [known]);
  // The mute one keeps nobody waiting: neither this list nor the next.
  says(1, web, mute);
  assert.deepEqual(await next(), [known, plain]);
  says(2, mute);
  assert.deepEqual(await next(), [plain]);
  assert.deepEqual(dialled, [`127.0.0.1:${web.port}`, `127.0.0.1:${mute.port}`]);
  await seen.return(undefined);
});

test("a stream of the guest that breaks is the error of whoever looks, and of nobody who has stopped looking", async () => {
  const seen = describedPorts(agent, () => [], { follow: true, signal });
  says(0);
  assert.deepEqual((await seen.next()).value, []);
  const broken = seen.next();
  said(1).reject(new Error("the guest is gone"));
  await assert.rejects(broken, /the guest is gone/);
  const left = describedPorts(agent, () => [], { follow: true, signal });
  lists = [];
  says(0);
  await left.next();
  await left.return(undefined);
});
