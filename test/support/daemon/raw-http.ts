// Bytes to the daemon's socket and back, with no client of ours in between.
import { connect } from "node:net";
import type { ErrorBody } from "../../../src/lib/errors.ts";

export interface RawReply {
  status: number;
  headers: Map<string, string>;
  body: string;
}

/** Sends bytes as they are; reads one reply. */
export async function sendRaw(socketPath: string, bytes: string | Buffer): Promise<RawReply> {
  const socket = connect(socketPath);
  try {
    socket.write(bytes);
    let all = "";
    for await (const chunk of socket.setEncoding("utf8") as AsyncIterable<string>) {
      all += chunk;
      const reply = parse(all);
      if (Buffer.byteLength(reply.body) === Number(reply.headers.get("content-length"))) return reply;
    }
    throw new Error(`the daemon closed after ${JSON.stringify(all)}`);
  } finally {
    socket.destroy();
  }
}

/** One request with a JSON body of any text. */
export function post(socketPath: string, path: string, body: string, headers = ""): Promise<RawReply> {
  return sendRaw(
    socketPath,
    `POST ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`,
  );
}

export function errorOf(reply: RawReply): ErrorBody {
  return JSON.parse(reply.body) as ErrorBody;
}

function parse(all: string): RawReply {
  const [head = "", ...rest] = all.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers = new Map(
    lines.map((line): [string, string] => {
      const at = line.indexOf(":");
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    }),
  );
  return { status: Number(first.split(" ")[1]), headers, body: rest.join("\r\n\r\n") };
}
