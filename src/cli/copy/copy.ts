// "vm cp": which of the four ways, and what it says afterwards.
import { BangerError } from "../../lib/errors.ts";
import type { CliContext } from "../context.ts";
import { parsePlace } from "./place.ts";

/** Copies between the host and a VM. Exactly one of the two sides is a VM. */
export async function copy(context: CliContext, sourceText: string, destinationText: string): Promise<void> {
  const source = parsePlace(sourceText);
  const destination = parsePlace(destinationText);
  if ((source.kind === "guest") === (destination.kind === "guest")) {
    throw new BangerError("usage", "one of source and destination, not both, must be <vm>:<path>");
  }
  if (destination.kind === "stream" && context.streams.stdout.isTTY === true) {
    throw new BangerError("usage", "a tar is not written to a terminal: pipe it, for example to tar -t");
  }
  if (source.kind === "stream" && context.streams.stdinIsTty) {
    throw new BangerError("usage", "a tar is not read from a terminal: pipe one in, for example from tar -c");
  }
  await using client = await context.connect();
  const { signal } = context.interrupts;
  const done = (record: Record<string, unknown>) => {
    if (context.terminal.json) context.terminal.printJson(record);
  };
  if (source.kind === "guest") {
    const { copyFromGuest, packToStream } = await import("./from-guest.ts");
    if (destination.kind === "stream") return await packToStream(client, source, context.streams.stdout, signal);
    if (destination.kind !== "host") return;
    const copied = await copyFromGuest(client, source, { ...destination, cwd: context.cwd }, signal);
    if (copied.skipped > 0) context.terminal.notice(`${copied.skipped} devices, pipes and sockets left out`, "yellow");
    return done({ path: copied.path, skipped: copied.skipped });
  }
  if (destination.kind !== "guest") return;
  const { copyToGuest, unpackStream } = await import("./to-guest.ts");
  const { entries } =
    source.kind === "stream"
      ? await unpackStream(client, context.streams.stdin(), destination, signal)
      : await copyToGuest(client, { ...source, cwd: context.cwd }, destination, signal);
  done({ entries });
}
