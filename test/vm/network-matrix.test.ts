// What a real guest gets to under each of several policies, in an "internet" where everything would answer: each attempt is answered at
// once, stands in the log with its reason, and what is denied has reached nobody.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { NetworkRecord } from "../../src/api/network-records.ts";
import { smallVm } from "../support/home.ts";
import { type Attempt, internetAddresses, matrix, nameServers, zone } from "../support/internet/matrix.ts";
import type { ServerOptions } from "../support/internet/fake-anywhere.ts";
import { gatewayAddress, hostAddress, sites, WorldHome } from "../support/internet/world.ts";

const support = join(import.meta.dirname, "../support/internet");
const probe = readFileSync(join(support, "probe.py"), "utf8");

/** What probe.py prints of each attempt. */
interface Probed {
  attempt: string;
  outcome: string;
  ms: number;
}

describe("what a guest gets to", { concurrency: false }, () => {
  let home: WorldHome;
  /** How long the guest's connect(2) took that was refused. */
  const deniedMs: number[] = [];
  let tried = 0;
  before(async () => {
    home = await WorldHome.make("", { resolver: nameServers[0]?.join(":") ?? "" });
    writeFileSync(seen(), "");
    const bits = (address: string) => (address.includes(":") ? "128 nodad" : "32");
    home.setUp("internet", [
      "ip address add 2001:db8::1/64 dev far nodad",
      ...internetAddresses.map((address) => `ip address add ${address}/${bits(address)} dev lo`),
    ]);
    home.setUp("host", [
      "ip address add 2001:db8::2/64 dev near nodad",
      "ip -6 route add default via 2001:db8::1",
      // Addresses of its own that no range gives away.
      "ip address add 93.184.216.99/32 dev lo",
      "ip address add 2606:2800:220:9::9/128 dev lo nodad",
      "ip route add local 93.184.220.0/24 dev lo",
      "echo 0 0 >/proc/sys/net/ipv4/ping_group_range",
    ]);
    const all = [...new Set([...Object.values(sites), gatewayAddress, ...internetAddresses])];
    await serve("internet", { names: nameServers, echo: all });
    await serve("host", { names: [], echo: [hostAddress, "127.0.0.1", "93.184.216.99"] });
    await home.ok(["vm", "create", "--name", "box", ...smallVm, "--network", "open"]);
  });
  after(() => home?.[Symbol.asyncDispose]());

  const seen = () => join(home.outside, "seen");
  const serve = (who: "internet" | "host", options: Pick<ServerOptions, "names" | "echo">) => {
    const all: ServerOptions = { who, seen: seen(), zone, ...options };
    return home.serve(who, join(support, "fake-anywhere.ts"), [JSON.stringify(all)]);
  };
  const log = async (after: number) => {
    const { code, stdout } = await home.run(["net", "log", "box", "--json"]);
    if (code !== 0) return [];
    const records = stdout
      .trimEnd()
      .split("\n")
      .filter((line) => line !== "");
    return records.map((line) => JSON.parse(line) as NetworkRecord).filter(({ sequence }) => sequence > after);
  };

  for (const { policy, attempts } of matrix) {
    test(`${attempts.length} attempts under net policy ${policy}`, async () => {
      await home.ok(["net", "policy", "box", ...policy.split(" ")]);
      const last = (await log(0)).at(-1)?.sequence ?? 0;
      const before = readFileSync(seen(), "utf8").length;
      const argv = ["python3", "-c", probe, JSON.stringify(attempts.map(([attempt]) => attempt))];
      const ran = await home.ok(["vm", "exec", "box", "--", ...argv]);
      const results = ran.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Probed);
      const records = await log(last);
      const arrived = readFileSync(seen(), "utf8").slice(before).split("\n");
      const wrong = attempts.flatMap((attempt, index) => {
        const result = results[index];
        const [words, outcome, why] = attempt;
        const about = records.filter((record) => isAbout(record, attempt));
        const asExpected = why === "" ? about.length === 0 : about.some((record) => whyOf(record) === why);
        tried++;
        if (result?.attempt === words && result.outcome === outcome && asExpected) return [];
        return [{ words, outcome: result?.outcome, wanted: outcome, why: about.map(whyOf), wantedWhy: why }];
      });
      assert.deepEqual(wrong, []);
      assert.deepEqual(
        arrived.filter((line) => isLeak(line, attempts)),
        [],
        "what is denied has reached somebody",
      );
      const denied = results.filter(({ attempt, outcome }) => /^tcp [\d[]/.test(attempt) && outcome === "refused");
      deniedMs.push(...denied.map(({ ms }) => ms));
    });
  }

  test("every attempt that was denied was answered at once", (context) => {
    const sorted = deniedMs.toSorted((a, b) => a - b);
    const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)]?.toFixed(1) ?? "";
    context.diagnostic(
      `${tried} attempts; ${sorted.length} refused connects, as the guest sees them: median ${at(0.5)} ms, slowest ${at(1)} ms`,
    );
    assert.ok(tried >= 60);
  });
});

/** Whether a line of the log tells of the attempt's target. */
function isAbout({ address, name, port }: NetworkRecord, [words, , , target]: Attempt): boolean {
  return (target ?? words).split(/[ /]+/).some((word) => {
    const [, bracketed, plain, wanted] = /^(?:\[(.*)\]|([^:]*)):(\d+)$/.exec(word) ?? [];
    const host = bracketed ?? plain ?? word;
    return (
      host !== "" && [address, name].includes(host) && (wanted === undefined || port === 0 || port === Number(wanted))
    );
  });
}

function whyOf({ verdict }: NetworkRecord): string {
  return verdict.allowed && verdict.reason === "" ? verdict.rule : verdict.reason;
}

/** Questions that are denied for what is asked, not for the answer. */
const unasked = /^(?:no-rule|deny-rule|bad-name|record-type|no-such-vm)$/;

/** Whether what a server has seen is of an attempt that was denied. */
function isLeak(line: string, attempts: readonly Attempt[]): boolean {
  const [kind, what] = [line.slice(0, 3), line.slice(4).trim()];
  if (kind === "udp") return attempts.some(([words, outcome]) => words === what && outcome !== "echo");
  const same = attempts.filter(([words]) => words.split(" ").includes(what));
  if (kind === "dns") return same.length > 0 && same.every(([, , why]) => unasked.test(why));
  return same.length > 0 && same.every(([, outcome]) => /^(?:refused|prohibited|no network)$/.test(outcome));
}
