// What a guest tries under which policy, and what comes of it: in the guest, in the log, and at the servers.
//
// An attempt is what probe.py does in the guest. The words are:
//   tcp ADDRESS:PORT             connect, read what the server says first ("internet" or "host")
//   say ADDRESS:PORT WORDS       connect, send them, read the first line of the answer
//   http URL [at ADDRESS] [host NAME]   a request and what it leads to: a status, or the page of 200
//   tls NAME at ADDRESS:PORT     a handshake with this server name, or none ("-")
//   udp ADDRESS:PORT [SIZE]      a datagram to a server that sends it back
//   ping ADDRESS                 an ICMP echo
//   protocol NUMBER ADDRESS      another protocol of IP
//   dns NAME TYPE [at ADDRESS:PORT]     a question, by default to the guest's own name server
//   fragments udp|tcp ADDRESS:PORT      a datagram or a SYN in pieces of eight bytes, the last one first
//   frame syn ADDRESS:PORT       a SYN that the guest's kernel has no part in

/**
 * An attempt; what the guest is told; and why: the reason in the log, for what is allowed the rule, "" for what never leaves the guest.
 * At the end what the log calls the target, where that is none of the attempt's words.
 */
export type Attempt = readonly [attempt: string, outcome: string, why: string, target?: string];

export interface Batch {
  /** Options of `net policy`. */
  policy: string;
  attempts: readonly Attempt[];
}

/** Names, and what they stand for: of a list of lists one after the other at each question. */
export const zone: Readonly<Record<string, readonly (string | readonly string[])[]>> = {
  "site.example": ["93.184.216.10", "2606:2800:220:1::10"],
  "shared.example": ["93.184.216.10"],
  "other.example": ["93.184.216.12"],
  "late.example": ["93.184.216.13"],
  "alias.example": ["other.example"],
  "inside.example": ["192.168.77.1"],
  "mine.example": ["192.168.77.2", "93.184.216.99"],
  "loop.example": ["127.0.0.1"],
  "metadata.example": ["169.254.169.254"],
  "rebind.example": [["93.184.216.11"], ["192.168.77.1"], ["169.254.169.254"], ["192.168.77.2"], ["127.0.0.1"]],
  "a.b.wild.example": ["93.184.216.11"],
  "wild.example": ["93.184.216.11"],
};

/** More addresses of the internet than those of its sites: public ones, and such that a policy has to keep guests from. */
export const internetAddresses = [
  ...[
    "93.184.216.13",
    "93.184.216.53",
    "10.0.0.1",
    "10.9.9.9",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
  ],
  ...["168.63.129.16", "198.51.100.1", "2606:2800:220:1::10", "fd00:1::1", "fd00:ec2::254", "2001:db8:9::1"],
  "64:ff9b::a00:1",
];
/** Where the names of the zone are asked for by banger-netd, and by guests that ask somebody else. */
export const nameServers = [["192.168.77.1", 5300] as const, ["93.184.216.53", 53] as const];

export const matrix: readonly Batch[] = [
  {
    policy: "--set open",
    attempts: [
      ["tcp 93.184.216.10:22", "internet", "mode open"],
      ["tcp 10.0.0.1:5432", "internet", "mode open"],
      ["tcp 172.16.0.1:22", "internet", "mode open"],
      ["tcp 192.168.77.1:22", "internet", "mode open"],
      ["tcp 100.64.0.1:22", "internet", "mode open"],
      ["tcp [2606:2800:220:1::10]:22", "internet", "mode open"],
      ["tcp [fd00:1::1]:22", "internet", "mode open"],
      ["udp 10.0.0.1:7", "echo", "mode open"],
      ["ping 93.184.216.10", "echo", "mode open"],
      // The host's own addresses, in every form that a program can write them in.
      ["tcp 192.168.77.2:22", "refused", "own"],
      ["tcp 3232255234:22", "refused", "own", "192.168.77.2"],
      ["tcp 0xc0a84d02:22", "refused", "own", "192.168.77.2"],
      ["tcp 0300.0250.0115.0002:22", "refused", "own", "192.168.77.2"],
      ["tcp 192.168.19714:22", "refused", "own", "192.168.77.2"],
      ["tcp [::ffff:192.168.77.2]:22", "refused", "own", "192.168.77.2"],
      ["tcp 93.184.216.99:22", "refused", "own"],
      ["tcp 93.184.220.7:22", "refused", "own"],
      ["tcp [2606:2800:220:9::9]:22", "refused", "own"],
      ["tcp mine.example:22", "no such name", "own"],
      ["udp 192.168.77.2:7", "prohibited", "own"],
      ["ping 192.168.77.2", "prohibited", "own"],
      // Loopback is the guest's own for its kernel; as a frame it goes nowhere.
      ["tcp 127.0.0.1:5432", "refused", ""],
      ["tcp localhost:5432", "refused", ""],
      ["tcp 0.0.0.0:5432", "refused", ""],
      ["tcp 2130706433:5432", "refused", ""],
      ["tcp [::1]:5432", "refused", ""],
      ["frame syn 127.0.0.1:22", "prohibited", "loopback"],
      ["frame syn 127.0.0.53:53", "prohibited", "loopback"],
      ["frame syn 0.0.0.0:22", "prohibited", "invalid"],
      ["frame syn [::1]:22", "prohibited", "loopback"],
      ["frame syn [::ffff:127.0.0.1]:5432", "prohibited", "invalid"],
      // The gateway, the clouds' metadata, and ranges for use on one link.
      ["tcp 198.18.0.1:22", "refused", "invalid"],
      ["tcp 198.18.0.9:22", "refused", "invalid"],
      ["tcp 198.19.0.10:22", "refused", "invalid"],
      ["tcp [fd62:616e:6765:73::c613:a]:22", "refused", "invalid"],
      ["tcp host.vm:5432", "no such name", "no-such-vm"],
      ["tcp 198.18.0.3:5432", "refused", "host-port"],
      ["tcp 169.254.169.254:80", "refused", "metadata"],
      ["tcp 100.100.100.200:22", "refused", "metadata"],
      ["tcp 168.63.129.16:22", "refused", "metadata"],
      ["tcp [fd00:ec2::254]:22", "refused", "metadata"],
      ["tcp 198.51.100.1:22", "refused", "reserved"],
      ["tcp [2001:db8:9::1]:22", "refused", "reserved"],
      ["udp 169.254.169.254:7", "prohibited", "metadata"],
      ["ping 169.254.169.254", "prohibited", "metadata"],
    ],
  },
  {
    policy: "--set balanced",
    attempts: [
      ["tcp 93.184.216.10:5432", "internet", "mode balanced"],
      ["tcp site.example:22", "internet", "mode balanced"],
      ["http http://site.example/", "site.example at 93.184.216.10", "mode balanced"],
      ["tls other.example at 93.184.216.12:443", "TLSv1.3", "mode balanced"],
      ["tcp [2606:2800:220:1::10]:5432", "internet", "mode balanced"],
      ["udp [2606:2800:220:1::10]:7", "echo", "mode balanced"],
      ["udp 93.184.216.10:443", "echo", "mode balanced"],
      ["udp 93.184.216.10:7 65000", "echo", "mode balanced"],
      ["fragments udp 93.184.216.11:7", "echo", "mode balanced"],
      ["fragments tcp 93.184.216.11:22", "answered", "half-open"],
      ["dns site.example A at 93.184.216.53:53", "93.184.216.10", "mode balanced"],
      ["tcp 93.184.216.10:9999", "refused", "refused"],
      ["tcp 10.0.0.1:22", "refused", "private"],
      ["tcp 172.16.0.1:22", "refused", "private"],
      ["tcp 192.168.77.1:22", "refused", "private"],
      ["tcp 100.64.0.1:22", "refused", "shared"],
      ["tcp [fd00:1::1]:22", "refused", "private"],
      ["tcp [64:ff9b::a00:1]:22", "refused", "private"],
      ["tcp [::ffff:10.0.0.1]:22", "refused", "private", "10.0.0.1"],
      ["udp 10.0.0.1:7", "prohibited", "private"],
      ["udp [fd00:1::1]:7", "prohibited", "private"],
      ["ping 10.0.0.1", "prohibited", "private"],
      ["fragments udp 192.168.1.1:7", "prohibited", "private"],
      ["fragments tcp 192.168.1.1:22", "refused", "private"],
      ["protocol 47 93.184.216.10", "prohibited", "protocol"],
      ["protocol 132 93.184.216.10", "prohibited", "protocol"],
      // A page of the internet that sends to the host, to its network and to the cloud.
      ["http http://93.184.216.10:8080/to/http://93.184.216.12:8080/", "page of 93.184.216.12:8080", "mode balanced"],
      ["http http://93.184.216.10:8080/to/http://192.168.77.1:8080/", "refused", "private", "192.168.77.1"],
      ["http http://93.184.216.10:8080/to/http://192.168.77.2:8080/", "refused", "own", "192.168.77.2"],
      ["http http://93.184.216.10:8080/to/http://169.254.169.254/", "refused", "metadata", "169.254.169.254"],
      ["http http://93.184.216.10:8080/to/http://inside.example/", "no such name", "private", "inside.example"],
      // Names that lead inside, also those that begin to.
      ["dns inside.example A", "no such name", "private"],
      ["dns metadata.example A", "no such name", "metadata"],
      ["dns loop.example A", "no such name", "loopback"],
      ["dns mine.example A", "no such name", "own"],
      ["dns rebind.example A", "93.184.216.11", "mode balanced"],
      ["dns rebind.example A", "no such name", "private"],
      ["dns rebind.example A", "no such name", "metadata"],
      ["dns rebind.example A", "no such name", "own"],
      ["dns rebind.example A", "no such name", "loopback"],
      ["dns 3232255234 A", "no such name", "bad-name"],
      ["dns site.example ANY", "no such name", "record-type"],
      ["dns site.example NULL", "no such name", "record-type"],
      ["dns site.example HTTPS", "nothing", "mode balanced"],
      ["dns other.vm A", "no such name", "no-such-vm"],
    ],
  },
  {
    policy:
      "--set balanced --allow 10.0.0.0/16:5432 --allow 169.254.169.254 --deny 93.184.216.12 --deny *.wild.example --allow-host 5432",
    attempts: [
      ["tcp 10.0.0.1:5432", "internet", "allow 10.0.0.0/16:5432"],
      ["tcp 169.254.169.254:22", "internet", "allow 169.254.169.254"],
      ["tcp host.vm:5432", "host", "allow-host 5432"],
      ["tcp [fd62:616e:6765:72::3]:5432", "host", "allow-host 5432"],
      ["tcp 10.0.0.1:22", "refused", "private"],
      ["tcp 10.9.9.9:5432", "refused", "private"],
      ["tcp 192.168.77.2:5432", "refused", "own"],
      ["frame syn 127.0.0.1:22", "prohibited", "loopback"],
      ["tcp host.vm:22", "refused", "host-port"],
      ["udp 198.18.0.3:7", "prohibited", "host-port"],
      ["tcp 93.184.216.12:22", "refused", "deny-rule"],
      ["ping 93.184.216.12", "prohibited", "deny-rule"],
      ["fragments tcp 93.184.216.12:22", "refused", "deny-rule"],
      ["dns a.b.wild.example A", "no such name", "deny-rule"],
      ["http http://93.184.216.11/ host a.b.wild.example", "403", "deny-rule"],
      ["tls a.b.wild.example at 93.184.216.11:443", "alert access denied", "deny-rule"],
    ],
  },
  {
    policy: "--set locked --allow 0.0.0.0/0 --allow 192.168.77.0/24",
    attempts: [
      ["tcp 93.184.216.10:22", "internet", "allow 0.0.0.0/0"],
      ["tcp 192.168.77.1:22", "internet", "allow 192.168.77.0/24"],
      ["tcp 192.168.77.2:22", "refused", "own"],
      ["tcp 10.0.0.1:22", "refused", "private"],
      ["tcp 169.254.169.254:22", "refused", "metadata"],
      ["tcp 127.1:5432", "refused", ""],
      ["tcp [2606:2800:220:1::10]:22", "refused", "no-rule"],
    ],
  },
  {
    policy:
      "--set locked --allow site.example:80 --allow site.example:443 --allow site.example:22 --allow late.example:22 --allow rebind.example:22",
    attempts: [
      // Its address is nothing to a guest that has not asked for it.
      ["tcp 93.184.216.13:22", "refused", "no-rule"],
      ["dns late.example A", "93.184.216.13", "allow late.example:22"],
      ["tcp 93.184.216.13:22", "internet", "allow late.example:22"],
      ["http http://site.example/", "site.example at 93.184.216.10", "allow site.example:80"],
      ["tcp site.example:22", "internet", "allow site.example:22"],
      ["tls site.example at 93.184.216.10:443", "TLSv1.3", "allow site.example:443"],
      // Ports and protocols outside of the rule.
      ["tcp site.example:5432", "refused", "no-rule"],
      ["tcp 93.184.216.10:853", "refused", "no-rule"],
      ["udp 93.184.216.10:7", "prohibited", "no-rule"],
      ["udp 93.184.216.10:443", "prohibited", "not-checkable"],
      ["ping 93.184.216.10", "prohibited", "no-rule"],
      ["fragments udp 93.184.216.10:7", "prohibited", "no-rule"],
      // Others behind the address that is allowed.
      ["http http://shared.example/ at 93.184.216.10", "403", "name-mismatch", "shared.example"],
      ["http http://site.example/ host 192.168.77.2", "403", "no-server-name", "93.184.216.10"],
      ["tls shared.example at 93.184.216.10:443", "alert access denied", "name-mismatch"],
      ["tls - at 93.184.216.10:443", "alert access denied", "no-server-name"],
      ["say 93.184.216.10:443 hello", "closed", "not-checkable"],
      ["say 93.184.216.10:80 CONNECT 192.168.77.1:22 HTTP/1.1", "HTTP/1.1 403 Forbidden", "not-checkable"],
      // Names that no rule allows never leave the host, nor does what is hidden in them.
      ["tcp other.example:22", "no such name", "no-rule"],
      ["dns shared.example A", "no such name", "no-rule"],
      ["dns alias.example A", "no such name", "no-rule"],
      ["dns mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiytemzugu3docnq.tunnel.example TXT", "no such name", "no-rule"],
      ["dns mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dz.site.example A", "no such name", "no-rule"],
      ["dns site.example NULL", "no such name", "record-type"],
      // Other servers for names, whatever they are asked over.
      ["dns site.example A at 93.184.216.53:53", "prohibited", "no-rule"],
      ["dns site.example A at 192.168.77.1:5300", "prohibited", "private"],
      ["tcp 93.184.216.53:53", "refused", "no-rule"],
      ["tcp 93.184.216.53:853", "refused", "no-rule"],
      ["tls dns.example at 93.184.216.53:443", "refused", "no-rule"],
      // A name that is allowed, and leads elsewhere at the next question.
      ["dns rebind.example A", "no such name", "loopback"],
      ["tcp 192.168.77.1:22", "refused", "private"],
      ["http http://site.example:8080/", "refused", "no-rule"],
    ],
  },
  {
    policy: "--set locked --allow inside.example:22+private --allow loop.example+private --allow *.wild.example:22",
    attempts: [
      ["tcp inside.example:22", "internet", "allow inside.example:22+private"],
      ["tcp 192.168.77.1:5432", "refused", "private"],
      ["tcp 192.168.77.2:22", "refused", "own"],
      ["tcp loop.example:5432", "no such name", "loopback"],
      ["tcp a.b.wild.example:22", "internet", "allow *.wild.example:22"],
      ["dns wild.example A", "no such name", "no-rule"],
      ["tcp a.b.wild.example:5432", "refused", "no-rule"],
    ],
  },
  {
    policy: "--set none",
    attempts: [
      ["tcp 93.184.216.10:22", "no network", ""],
      ["udp 93.184.216.10:7", "no network", ""],
      ["ping 93.184.216.10", "no network", ""],
      ["tcp site.example:22", "no such name", ""],
    ],
  },
];
