// Images out of the store of an engine: what its client is asked, what it is given, and what is made of its failures. The client is a
// script that answers as podman 4.3 was seen to.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { quietProgress } from "../../lib/progress.ts";
import { until } from "../../../test/support/until.ts";
import { saveFromEngine } from "./engine.ts";

const client = `#!/bin/sh
echo "$*" >>"$0.asked"
env | sort >"$0.env"
case $2 in
  localhost/app:1) printf archive ;;
  localhost/empty:1) ;;
  localhost/slow:1) echo $$ >"$0.pid"; exec sleep 100 ;;
  localhost/broken:1) echo "Error: no space left on device" >&2; exit 125 ;;
  *) echo "Error: $2: image not known" >&2; exit 125 ;;
esac
`;
const before = { ...process.env };

describe("the store of an engine", { concurrency: false }, () => {
  let root: string;
  let target: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "banger-engine-"));
    target = join(root, "images.tar");
    mkdirSync(join(root, "bin"));
    writeFileSync(join(root, "bin/podman"), client, { mode: 0o755 });
    process.env["PATH"] = `${join(root, "bin")}${delimiter}${before["PATH"]}`;
  });
  afterEach(() => rmSync(root, { recursive: true }));
  after(() => Object.assign(process.env, before));

  const save = (reference: string, signal = new AbortController().signal) =>
    saveFromEngine("podman", reference, target, quietProgress(signal));
  const asked = () => readFileSync(join(root, "bin/podman.asked"), "utf8");

  test("an image is saved, with the settings that clients have and nothing else of ours", async () => {
    process.env["CONTAINERS_STORAGE_CONF"] = "/somewhere/storage.conf";
    process.env["BANGER_SECRET_OF_OURS"] = "1";
    await save("localhost/app:1");
    assert.equal(readFileSync(target, "utf8"), "archive");
    assert.equal(asked(), "save localhost/app:1\n");
    const given = readFileSync(join(root, "bin/podman.env"), "utf8");
    assert.match(given, /^CONTAINERS_STORAGE_CONF=\/somewhere\/storage\.conf$/m);
    assert.doesNotMatch(given, /BANGER_SECRET_OF_OURS/);
  });

  test("an image that is not there, one that is empty, and a client that fails", async () => {
    const hint = { hint: "podman images" };
    await assert.rejects(save("localhost/none:1"), {
      code: "image.not-found",
      message: /no image "localhost\/n/,
      ...hint,
    });
    rmSync(target, { force: true });
    await assert.rejects(save("localhost/empty:1"), { code: "image.not-found", message: /gave nothing/ });
    rmSync(target, { force: true });
    await assert.rejects(save("localhost/broken:1"), { code: "command.failed", message: /no space left/, ...hint });
  });

  test("what is no name of an image is not given to the client: it could be an option", async () => {
    for (const reference of ["--help", "-o/etc/passwd", "", "a b", "a\nb", "$(id)", `x${"y".repeat(600)}`]) {
      await assert.rejects(save(reference), { code: "image.reference-invalid" }, reference);
    }
    assert.deepEqual(readdirSync(join(root, "bin")), ["podman"]);
  });

  test("cancelling ends the client", async () => {
    const stop = new AbortController();
    const saving = save("localhost/slow:1", stop.signal);
    saving.catch(() => {});
    const pid = await until("the client to run", () => Number(readFileSync(join(root, "bin/podman.pid"))) || undefined);
    stop.abort(new BangerError("cancelled", "enough"));
    await assert.rejects(saving, { code: "cancelled" });
    assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  });
});
