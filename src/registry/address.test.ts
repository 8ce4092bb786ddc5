// Kinds of addresses, also of those that hide an IPv4 address.
import assert from "node:assert/strict";
import { test } from "node:test";
import { addressKind, type AddressKind } from "./address.ts";

test("each address has its kind, however it is written", () => {
  const cases: Record<AddressKind, string[]> = {
    public: [
      "1.1.1.1",
      "172.32.0.1",
      "172.15.255.255",
      "100.128.0.0",
      "2606:4700::1111",
      "64:ff9b::101:101",
      "::ffff:8.8.8.8",
    ],
    private: [
      "10.0.0.1",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.1.1",
      "100.64.0.1",
      "100.127.255.255",
      "fd00::1",
      "fc00::",
      "fec0::1",
      "::ffff:10.0.0.1",
      "0:0:0:0:0:ffff:0a00:0001",
      "64:ff9b::a00:1",
      "2002:a00:1::",
    ],
    loopback: ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "2002:7f00:1::1"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%eth0", "febf::1", "::ffff:169.254.169.254"],
    never: [
      "0.0.0.0",
      "0.1.2.3",
      "::",
      "::127.0.0.1",
      "224.0.0.1",
      "255.255.255.255",
      "240.0.0.1",
      "ff02::1",
      "2001:db8::1",
      "nonsense",
      "",
    ],
  };
  for (const [kind, addresses] of Object.entries(cases)) {
    for (const address of addresses) assert.equal(addressKind(address), kind, address);
  }
});
