// vm list: which VMs it shows, and in which form.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runFake } from "../../testing/run-fake.ts";
import { fakeVm } from "../../../api/testdata/vm-record.ts";

const vms = [
  fakeVm("web", { labels: { owner: "me", tier: "front" } }),
  fakeVm("db", { labels: { owner: "me" }, state: "paused" }),
  fakeVm("old", { labels: { owner: "you" }, state: "stopped", image: { id: "a1b2", name: "alpine" } }),
  fakeVm("new", { state: "created" }),
];
const names = async (...words: string[]) => {
  const ran = await runFake(["vm", "list", "--format", "{{.name}}", ...words], {
    replies: { "vm.list": () => ({ vms }) },
  });
  assert.equal(ran.code, 0, ran.stderr);
  return ran.stdout.split("\n").filter((line) => line !== "");
};

describe("vm list", () => {
  const cases: [string[], string[]][] = [
    [[], ["web", "db"]],
    [["--all"], ["web", "db", "old", "new"]],
    [["--latest"], ["web"]],
    [
      ["-n", "3"],
      ["web", "db", "old"],
    ],
    [
      ["--filter", "label=owner"],
      ["web", "db"],
    ],
    [
      ["-a", "--filter", "label=owner"],
      ["web", "db", "old"],
    ],
    [["--filter", "label=owner=me", "--filter", "label=tier=front"], ["web"]],
    [
      ["--filter", "state=stopped", "--filter", "state=paused"],
      ["db", "old"],
    ],
    [["--filter", "state=stopped", "--filter", "label=owner=me"], []],
    [["-a", "--filter", "image=alpine"], ["old"]],
    [
      ["-a", "--filter", "name=e"],
      ["web", "new"],
    ],
  ];
  for (const [words, expected] of cases) {
    test(`${words.join(" ") || "(nothing)"}: ${expected.join(" ")}`, async () => {
      assert.deepEqual(await names(...words), expected);
    });
  }

  test("--format shows nested fields, and refuses fields that there are not", async () => {
    const run = (format: string) =>
      runFake(["vm", "list", "--format", format], { replies: { "vm.list": () => ({ vms: vms.slice(0, 1) }) } });
    assert.equal(
      (await run("{{.id}}\\t{{.spec.memoryMib}} {{.labels.tier}}|{{.labels.none}}|")).stdout,
      "id-web\t1024 front||\n",
    );
    for (const format of ["{{.nme}}", "{{name}}", "{{.name", "json", ""]) {
      const { code, stderr } = await run(format);
      assert.equal(code, 2);
      assert.match(stderr, /--format/);
    }
  });

  test("a line stays one line whatever is in it, and JSON is not mixed with it", async () => {
    const replies = { "vm.list": () => ({ vms: [fakeVm("web", { reason: "first\n\x1b[2Jsecond" })] }) };
    const ran = await runFake(["vm", "list", "--format", "{{.reason}}"], { replies });
    assert.equal(ran.stdout, "first\\n\\x1b[2Jsecond\n");
    const both = await runFake(["vm", "list", "--format", "{{.name}}", "--json"], { replies });
    assert.deepEqual([both.code, both.calls], [2, []]);
  });

  test("a filter that there is not is refused before the daemon is asked", async () => {
    const ran = await runFake(["vm", "list", "--filter", "colour=red"]);
    assert.deepEqual([ran.code, ran.calls], [2, []]);
    assert.match(ran.stderr, /one of id, name, state, image, label/);
    const state = await runFake(["vm", "list", "--filter", "state=runing"]);
    assert.deepEqual([state.code, state.calls], [2, []]);
    assert.match(state.stderr, /a VM is created, starting, running/);
  });
});
