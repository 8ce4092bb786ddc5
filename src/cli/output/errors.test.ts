// Errors on stderr: which lines there are, for people and as JSON.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { renderError, renderInterrupt } from "./errors.ts";
import { Terminal } from "./terminal.ts";

function rendered(error: unknown, json = false): string {
  let written = "";
  const stream = { write: (data: string | Uint8Array) => (written += String(data)) };
  const terminal = new Terminal(stream, stream, {});
  terminal.configure({ json });
  renderError(error, terminal);
  return written;
}

test("message, causes, hint, operation: a line each", () => {
  const error = new BangerError("vm.boot-failed", "the VM ended\nKernel panic", {
    cause: new Error("killed"),
    hint: "banger vm logs box",
    operation: "op-1",
  });
  assert.equal(
    rendered(error),
    "banger: error: the VM ended\n  Kernel panic (vm.boot-failed)\nbanger: cause: killed\nbanger: hint: banger vm logs box\nbanger: operation: op-1\n",
  );
});

test("the operation is left out of a mistake's text, and stays in its JSON", () => {
  for (const code of ["vm.not-found", "vm.name-taken", "vm.spec-invalid", "vm.wrong-state"] as const) {
    const error = new BangerError(code, "no", { operation: "op-1" });
    assert.equal(rendered(error), `banger: error: no (${code})\n`);
    assert.equal((JSON.parse(rendered(error, true)) as { error: { operation: string } }).error.operation, "op-1");
  }
});

test("an interrupt is told in a word, with the hint when something stays", () => {
  let written = "";
  const stream = { write: (data: string | Uint8Array) => (written += String(data)) };
  renderInterrupt(
    new BangerError("cancelled", "interrupted by SIGINT", { hint: "banger vm delete box", operation: "op-1" }),
    new Terminal(stream, stream, {}),
  );
  assert.equal(written, "banger: interrupted\nbanger: hint: banger vm delete box\n");
});
