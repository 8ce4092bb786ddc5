#!/usr/bin/env node
// The command line program: answers for its version at once, loads the rest for everything else.
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { versionLine, versionText } from "../cli/version.ts";
import { buildInfo } from "../lib/build-info.ts";

const isBundled = buildInfo.builtAt !== 0;
const argv = process.argv.slice(2);
if (argv.length === 1 && argv[0] === "version") say(versionText());
else if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) say(`${versionLine()}\n`);
else {
  const entry = process.argv[1] as string;
  // Node keeps what it compiled beside the bundle; where it may not write there, it compiles each time.
  if (isBundled) enableCompileCache(join(import.meta.dirname, "compile-cache"));
  const { main, createEnvironment, lastCode } = await import("../cli/start.ts");
  // The daemon stands beside this file: bin/bangerd.ts from source, dist/bangerd.js in a build.
  const daemon = import.meta.filename.replace(/banger(\.[cm]?[jt]s)$/, "bangerd$1");
  // Under load, V8 makes the space for young objects 128 MiB large and never gives it back.
  const daemonCommand = [process.execPath, "--max-semi-space-size=4", daemon];
  const environment = createEnvironment({ self: [process.execPath, entry], daemon: daemonCommand });
  // Whatever still waits (a stdin that nobody closes) must not keep a finished command alive.
  process.exit(await lastCode(await main(argv, environment), environment.terminal));
}

function say(text: string): void {
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    process.exitCode = 1;
    if (code !== "EPIPE") process.stderr.write(`banger: error: the output could not be written: ${message}\n`);
  });
  process.stdout.write(text);
}
