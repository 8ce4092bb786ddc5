// Brings the state of a guest's work tree into a quarantine: runs git in the guest and takes its pack.
import { Writable } from "node:stream";
import { BangerError } from "../../lib/errors.ts";
import type { Quarantine } from "../quarantine/quarantine.ts";
import { GuestAnswer, type GuestHeader } from "./guest-header.ts";
import { guestExit, guestScript, type GuestScriptRequest } from "./guest-script.ts";

/** Runs a command as root in the guest: the part of the agent that an export needs. Resolves with its exit code. */
export type RunInGuest = (
  command: { argv: readonly string[]; stdout: Writable; stderr: Writable },
  options: { signal: AbortSignal },
) => Promise<number>;

export interface CollectRequest extends Omit<GuestScriptRequest, "format"> {
  /** Name of the VM, for messages. */
  vm: string;
  /** Bytes that the guest may send. */
  maxBytes: number;
}

/**
 * Returns what the guest says of what it sent. The pack is in the quarantine and its objects are checked; trees and commits are not
 * yet. Throws `workspace.refused` for what is malformed or too large, `workspace.failed` with the guest's own words.
 */
export async function collect(
  runInGuest: RunInGuest,
  request: CollectRequest,
  quarantine: Quarantine,
  options: { signal: AbortSignal },
): Promise<GuestHeader> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const answer = new GuestAnswer(request.maxBytes);
  answer.on("error", (error) => failed.abort(error));
  /** The first failure ends the other side, and is the one that is told. */
  const orFail = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work;
    } catch (error) {
      failed.abort(error);
      answer.destroy();
      return undefined;
    }
  };
  const sending = async () => {
    const words = new LastWords();
    const argv = guestScript({ ...request, format: quarantine.format });
    const code = await runInGuest({ argv, stdout: answer, stderr: words }, { signal });
    if (code !== 0) throw guestError(code, request, words.text());
    answer.end();
  };
  const receiving = async () => {
    const header = await answer.header;
    await quarantine.receive(answer, { signal });
    return header;
  };
  const [, header] = await Promise.all([orFail(sending()), orFail(receiving())]);
  options.signal.throwIfAborted();
  if (header === undefined || failed.signal.aborted) throw failed.signal.reason;
  return header;
}

function guestError(code: number, { vm, directory, base }: CollectRequest, words: string): BangerError {
  const again = `banger vm workspace prepare ${vm} <path>`;
  switch (code) {
    case guestExit.noGit:
      return new BangerError("workspace.failed", `the guest of "${vm}" has no git, which packs what is exported`, {
        hint: `banger vm exec ${vm} -- apt-get install -y git  # or take an image with git: banger image catalog`,
      });
    case guestExit.noDirectory:
      return new BangerError("workspace.failed", `"${directory}" is not there any more in "${vm}"`, { hint: again });
    case guestExit.noRepository:
      return new BangerError("workspace.failed", `"${directory}" in "${vm}" is not a git repository any more`, {
        hint: `${again}  # or copy files: banger vm cp ${vm}:${directory} .`,
      });
    case guestExit.noBase:
      return new BangerError("workspace.failed", `there is no commit "${base}" in the repository of "${vm}"`, {
        hint: `banger vm exec ${vm} -- git log --oneline`,
      });
    case guestExit.oddPath:
      return new BangerError("workspace.failed", `git cannot say in "${vm}" where its repository lies`);
    default:
      return new BangerError("workspace.failed", `git failed in "${vm}" (exit code ${code}): ${words}`, {
        hint: `banger vm exec ${vm} -- git status`,
      });
  }
}

/** The end of what the guest writes to stderr. */
class LastWords extends Writable {
  #kept = Buffer.alloc(0);

  constructor() {
    super({
      write: (chunk: Buffer, _encoding, done) => {
        this.#kept = Buffer.concat([this.#kept, chunk]).subarray(-2048);
        done();
      },
    });
  }

  text(): string {
    return this.#kept.toString("utf8").trim().split("\n").slice(-5).join("; ") || "it did not say why";
  }
}
