// The thread that fetches the blobs of one repository into files: requests, bytes and digests are its own, who it is is asked.
import { parentPort, workerData } from "node:worker_threads";
import { fromErrorBody, toErrorBody } from "../../lib/errors.ts";
import { saveContent } from "../../lib/save-content.ts";
import { SharedCount } from "../../lib/shared-count.ts";
import { openFrom } from "../repository-blob.ts";
import { openSession } from "../session.ts";
import { AskedAuthorizer } from "./asked-authorizer.ts";
import type { FromSaver, SaverJob, ToSaver } from "./protocol.ts";

const job = workerData as SaverJob;
const say = (message: FromSaver) => parentPort?.postMessage(message, []);
const authorization = new AskedAuthorizer((id, question) => say({ say: "ask", id, question }));
const { registry, insecure, limits } = job;
const session = openSession({ registry, insecure, limits, shared: { base: new URL(job.base), authorization } });
const saves = new Map<number, AbortController>();

async function save({ id, descriptor, request }: Extract<ToSaver, { say: "save" }>): Promise<void> {
  const stop = new AbortController();
  saves.set(id, stop);
  const { signal } = stop;
  try {
    const open = (offset: number) => openFrom(session, job, descriptor, offset, signal);
    const count = new SharedCount(request.count);
    const digest = await saveContent(open, descriptor, { ...request, count, signal });
    say({ say: "saved", id, digest });
  } catch (error) {
    say({ say: "failed", id, error: toErrorBody(error) });
  } finally {
    saves.delete(id);
  }
}

parentPort?.on("message", (message: ToSaver) => {
  if (message.say === "save") void save(message);
  else if (message.say === "abort") saves.get(message.id)?.abort(fromErrorBody(message.error));
  else authorization.hear(message.id, message.answer);
});
