// What "--timings" prints: for people and for programs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Terminal } from "../output/terminal.ts";
import { fakeVm } from "../../api/testdata/vm-record.ts";
import { Timings } from "./timings.ts";

const lastStart = {
  kind: "template",
  reason: "",
  phases: [
    { name: "spawn", ms: 80 },
    { name: "configure", ms: 1210 },
  ],
  totalMs: 1300,
  at: 0,
} as const;

/** What is printed after phases that end at 50, 1400, 1425 and 1430 ms. */
function printed(
  json: boolean,
  record = fakeVm("box", { lastStart: { ...lastStart, phases: [...lastStart.phases] } }),
) {
  const clock = [50, 1400, 1425, 1430];
  const timings = new Timings(() => clock.shift() ?? 0);
  for (const name of ["client", "create", "exec", "command"]) timings.mark(name);
  let text = "";
  const stdout = { write: () => assert.fail("stdout is the command's") };
  const terminal = new Terminal(stdout, { write: (data) => (text += String(data)) }, {});
  terminal.configure({ json, quiet: true });
  timings.report(terminal, record);
  return text;
}

test("for people: the daemon's phases stand below the one that they are part of", () => {
  assert.equal(
    printed(false),
    `timings of box: started from a template
  client         50 ms
  create         1.4 s
    spawn        80 ms
    configure    1.2 s
  exec           25 ms
  command         5 ms
  total          1.4 s
`,
  );
});

test("a boot says why it was one", () => {
  const cold = { kind: "cold", reason: "no template yet", phases: [], totalMs: 3000, at: 0 } as const;
  assert.match(
    printed(false, fakeVm("box", { lastStart: { ...cold, phases: [] } })),
    /^timings of box: booted \(no template yet\)\n/,
  );
  assert.match(printed(false, fakeVm("box")), /^timings of box\n/);
});

test("for programs: one object", () => {
  assert.deepEqual(JSON.parse(printed(true)), {
    timings: {
      vm: "box",
      start: lastStart,
      phases: [
        { name: "client", ms: 50 },
        { name: "create", ms: 1350 },
        { name: "exec", ms: 25 },
        { name: "command", ms: 5 },
      ],
      totalMs: 1430,
    },
  });
});
