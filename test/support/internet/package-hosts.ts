// The hosts that packages come from, as handlers of HTTPS requests: below `directory` is one directory for each host, with the files that
// it serves, with "redirects.json" (path -> where to), and with bare repositories, which git's own CGI program serves.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { join, normalize } from "node:path";

/** Whether that host is one of them. */
export function isPackageHost(directory: string, host: string | undefined): host is string {
  return host !== undefined && /^[a-z]+\.example$/.test(host) && existsSync(join(directory, host));
}

/** Answers requests for any of the hosts of `directory`. */
export function packageHosts(directory: string): RequestListener {
  return (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "https://any.example");
    const host = join(directory, request.headers.host ?? "");
    const redirects = join(host, "redirects.json");
    const moved = existsSync(redirects)
      ? (JSON.parse(readFileSync(redirects, "utf8")) as Record<string, string>)[pathname]
      : undefined;
    if (moved !== undefined) return void response.writeHead(302, { location: moved }).end();
    if (/^\/\w+\.git\//.test(pathname)) return runGit(host, pathname, String(searchParams), request, response);
    const path = join(host, normalize(decodeURIComponent(pathname)));
    const file = [path, join(path, "index.html"), `${path}.json`].find((name) => statSync(name, never)?.isFile());
    if (file === undefined) return void response.writeHead(404).end();
    const types: Record<string, string> = { html: "text/html", json: "application/json" };
    const type = types[file.slice(file.lastIndexOf(".") + 1)] ?? "application/octet-stream";
    response.writeHead(200, { "content-type": type }).end(readFileSync(file));
  };
}

const never = { throwIfNoEntry: false } as const;

/** As a web server runs it: RFC 3875. */
function runGit(root: string, path: string, query: string, request: IncomingMessage, response: ServerResponse): void {
  const { headers, method = "GET" } = request;
  const backend = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      // The repositories may be another user's.
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: method,
      CONTENT_TYPE: headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(headers["git-protocol"] ?? ""),
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  backend.stdin.on("error", () => {});
  request.pipe(backend.stdin);
  const said: Buffer[] = [];
  backend.stdout.on("data", (chunk: Buffer) => said.push(chunk));
  backend.once("close", () => {
    const all = Buffer.concat(said);
    const end = all.indexOf("\r\n\r\n");
    const fields = all.toString("latin1", 0, Math.max(end, 0)).split("\r\n");
    const pairs = fields.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)] as const);
    const status = Number.parseInt(pairs.find(([name]) => name === "Status")?.[1] ?? (end < 0 ? "500" : "200"), 10);
    response.writeHead(status, Object.fromEntries(pairs.filter(([name]) => name !== "Status" && name !== "")));
    response.end(all.subarray(end + 4));
  });
}
