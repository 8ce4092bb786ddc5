// Rules as people write them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkRule } from "./network-rule.ts";

/** Target, ports, protocol; what is left out is any. */
function read(text: string): string {
  const { target, firstPort, lastPort, protocol, privateAddresses } = parseNetworkRule(text, "--allow");
  return [target, firstPort, lastPort, protocol, ...(privateAddresses ? ["private"] : [])].join(" ");
}

test("names, addresses and ranges, with ports and protocols", () => {
  for (const [text, wanted] of [
    ["api.example.com", "api.example.com 0 0 any"],
    ["API.Example.com.:443", "api.example.com 443 0 any"],
    ["*.example.com:8000-8999", "*.example.com 8000 8999 any"],
    ["*", "* 0 0 any"],
    ["*:443", "* 443 0 any"],
    ["_dns.resolver.arpa", "_dns.resolver.arpa 0 0 any"],
    ["203.0.113.7", "203.0.113.7 0 0 any"],
    ["203.0.113.7:53/udp", "203.0.113.7 53 0 udp"],
    ["203.0.113.7/icmp", "203.0.113.7 0 0 icmp"],
    ["10.0.0.0/8", "10.0.0.0/8 0 0 any"],
    ["10.0.0.0/8:5432", "10.0.0.0/8 5432 0 any"],
    ["10.0.0.0/8:5432/tcp", "10.0.0.0/8 5432 0 tcp"],
    ["0.0.0.0/0:53/udp", "0.0.0.0/0 53 0 udp"],
    ["2001:db8::1", "2001:db8::1 0 0 any"],
    ["[2001:db8::1]", "2001:db8::1 0 0 any"],
    ["[2001:DB8::1]:53/udp", "2001:db8::1 53 0 udp"],
    ["2001:db8::/32", "2001:db8::/32 0 0 any"],
    ["[2001:db8::/32]:443", "2001:db8::/32 443 0 any"],
    ["git.corp.example:443+private", "git.corp.example 443 0 any private"],
  ] as const) {
    assert.equal(read(text), wanted, text);
  }
});

test("what is no rule is refused with the reason", () => {
  for (const [text, why] of [
    ["", "it names nothing"],
    [":443", "it names nothing"],
    ["a..b", "no name, address or range"],
    ["-a.example", "no name, address or range"],
    ["*.*.example.com", "no name, address or range"],
    ["api.*.com", "no name, address or range"],
    ["http://api.example.com", "not a URL"],
    ["api.example.com:0", '"0" is no port'],
    ["api.example.com:65536", '"65536" is no port'],
    ["api.example.com:90-80", '"90-80" is no port'],
    ["api.example.com:https", '"https" is no port'],
    ["api.example.com/24", "is no address"],
    ["1.2.3", "looks like an address"],
    ["256.1.1.1", "looks like an address"],
    ["10.1.2.3/8", "the range that holds it is 10.0.0.0/8"],
    ["10.0.0.0/33", "0 to 32 bits"],
    ["10.0.0.0/8/8", "0 to 32 bits"],
    ["2001:db8::/129", "0 to 128 bits"],
    ["fe80::1%eth0", "no zone"],
    ["10.0.0.1+private", "+private is for names"],
    ["203.0.113.7:80/icmp", "ICMP has no ports"],
    ["127.0.0.1:80", "is opened port by port"],
    ["localhost:80", "is opened port by port"],
    ["[::1]:80", "is opened port by port"],
    ["a b", "no name, address or range"],
    ["a".repeat(400), "longer than 300"],
  ] as const) {
    assert.throws(
      () => parseNetworkRule(text, "--allow"),
      (error: Error) => {
        assert.ok(error.message.includes(why), `${text}: ${error.message}`);
        assert.equal((error as { code?: string }).code, "network.policy-invalid");
        return true;
      },
    );
  }
});
