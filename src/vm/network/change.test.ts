// Another network for a VM that is ended meanwhile.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { noNetwork } from "../../network/policy.ts";
import { harness, quiet } from "../snapshot/testdata/harness.ts";
import { changeNetwork } from "./change.ts";

const vmId = "0123456789ab";
const closed = { ...noNetwork, mode: "locked" } as const;
const open = { ...noNetwork, mode: "balanced" } as const;

test("rules that come too late for a VM that is being ended are not recorded, and say why", async () => {
  using home = await harness();
  home.addRunning("box");
  const { context } = home;
  const row = context.state.vms.update(vmId, { network: closed });
  const session = context.sessions.get(vmId);
  assert.ok(session);
  context.networks.setPolicy = async () => {
    session.ending = true;
    throw new BangerError("network.failed", 'the network did not take "set policy": socket hang up');
  };
  await assert.rejects(changeNetwork(context, row, open, quiet()), {
    code: "cancelled",
    message: 'VM "box" was ended while the rules of its network were changed',
  });
  assert.deepEqual(context.state.vms.get(vmId)?.network, closed);
});

test("a network that does not take its rules is no end of the VM", async () => {
  using home = await harness();
  home.addRunning("box");
  const { context } = home;
  const row = context.state.vms.update(vmId, { network: closed });
  context.networks.setPolicy = () => Promise.reject(new BangerError("network.failed", "no answer"));
  await assert.rejects(changeNetwork(context, row, open, quiet()), { code: "network.failed" });
  assert.deepEqual(context.state.vms.get(vmId)?.network, closed);
});
