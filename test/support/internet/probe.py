# Tries to get out of a guest, one way after the other. usage: python3 probe.py '["tcp 203.0.113.7:22", …]'
# Prints a line of JSON for each: what came of it in a word or two, and how long that took. The words of an attempt are described in
# matrix.ts. Nothing waits longer than it takes to be sure that nothing comes.
import errno, json, os, socket, ssl, struct, sys, time

LONGEST = 10
GUEST = "198.18.0.2"
GUEST6 = "fd62:616e:6765:72::2"


def split(target):
    host, port = target.rsplit(":", 1)
    return host.strip("[]"), int(port)


def word(error):
    """What a program is told."""
    if isinstance(error, ssl.SSLError):
        return "alert access denied" if "ACCESS_DENIED" in str(error).upper() else "tls: " + str(error.reason)
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "TIMEOUT"
    if isinstance(error, socket.gaierror):
        return "no such name"
    return {
        errno.ECONNREFUSED: "refused",
        errno.ECONNRESET: "reset",
        errno.EHOSTUNREACH: "prohibited",
        errno.EACCES: "prohibited",
        errno.ENETUNREACH: "no network",
        errno.EINVAL: "no such address",
    }.get(getattr(error, "errno", None), str(error))


def dial(target):
    host, port = split(target)
    return socket.create_connection((host, port), LONGEST)


def read_all(stream):
    got = b""
    while len(got) < 65536:
        more = stream.recv(65536)
        if not more:
            break
        got += more
    return got.decode("latin1")


def tcp(target):
    with dial(target) as conn:
        return conn.recv(100).decode().strip() or "closed"


def say(target, *words):
    """To a server that waits for its client."""
    with dial(target) as conn:
        conn.sendall((" ".join(words) + "\r\n\r\n").encode())
        return (conn.recv(100).decode("latin1").strip() or "closed").split("\r\n")[0]


def http(url, *options):
    """One request, or several while the answer sends elsewhere. Options: "host" NAME, "at" ADDRESS."""
    given = dict(zip(options[::2], options[1::2]))
    for _ in range(5):
        host, slash, path = url.removeprefix("http://").partition("/")
        port = "" if ":" in host else ":80"
        with dial(given["at"] + port if "at" in given else host + port) as conn:
            request = "GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (path, given.get("host", host))
            conn.sendall(request.encode())
            head, _, body = read_all(conn).partition("\r\n\r\n")
        status = head.split(" ")[1] if " " in head else "closed"
        if status not in ("301", "302"):
            return status if status != "200" else body.split("\n")[0]
        url = [line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("location")][0]
    return "too many redirects"


def tls(name, at, target):
    # Reading the system's authorities takes longer than all attempts.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with dial(target) as conn:
        with context.wrap_socket(conn, server_hostname=None if name == "-" else name) as secure:
            return secure.version()


def udp(target, size="0"):
    host, port = split(target)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(LONGEST)
        s.connect((host, port))
        payload = TRIED.ljust(int(size)).encode()
        s.send(payload)
        return "echo" if s.recv(65536) == payload else "something else"


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(host):
    six = ":" in host
    protocol = socket.getprotobyname("ipv6-icmp") if six else socket.IPPROTO_ICMP
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM, protocol) as s:
        s.settimeout(LONGEST)
        s.connect((host, 0))
        s.send(struct.pack("!BBHHH", 128 if six else 8, 0, 0, 1, 1) + b"ping")
        return "echo" if s.recv(100)[0] in (0, 129) else "something else"


def protocol(number, host):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, int(number)) as s:
        s.settimeout(LONGEST)
        s.connect((host, 0))
        s.send(b"hello, world")
        s.recv(100)
        return "something else"


RCODES = {0: "", 2: "server failure", 3: "no such name", 4: "not implemented", 5: "refused"}
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "NULL": 10, "PTR": 12, "TXT": 16, "AAAA": 28, "HTTPS": 65, "AXFR": 252, "ANY": 255}


def skip_name(message, at):
    while message[at]:
        if message[at] >= 192:
            return at + 2
        at += message[at] + 1
    return at + 1


def dns(name, kind, *server):
    """Asks 198.18.0.1, or another server: "at" ADDRESS:PORT."""
    host, port = split(server[1]) if server else ("198.18.0.1", 53)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", TYPES[kind], 1)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(LONGEST)
        s.connect((host, port))
        s.send(query)
        answer = s.recv(65536)
    code, count = answer[3] & 15, struct.unpack("!H", answer[6:8])[0]
    at = skip_name(answer, 12) + 4
    found = []
    for _ in range(count):
        at = skip_name(answer, at)
        kind, _, _, size = struct.unpack("!HHIH", answer[at : at + 10])
        data = answer[at + 10 : at + 10 + size]
        at += 10 + size
        if kind in (1, 28):
            found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
    return RCODES.get(code, str(code)) or " ".join(found) or "nothing"


def ip_packet(host, number, payload, ident=0, offset=0, more=False):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, offset // 8 | (0x2000 if more else 0), 64, number, 0)
    head += socket.inet_aton(GUEST) + socket.inet_aton(host)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def transport(host, number, segment, at):
    """With its checksum, which is at this offset."""
    six = ":" in host
    family = socket.AF_INET6 if six else socket.AF_INET
    pseudo = socket.inet_pton(family, GUEST6 if six else GUEST) + socket.inet_pton(family, host)
    pseudo += struct.pack("!II", len(segment), number) if six else struct.pack("!HH", number, len(segment))
    return segment[:at] + struct.pack("!H", checksum(pseudo + segment)) + segment[at + 2 :]


def syn(host, port, source):
    return transport(host, 6, struct.pack("!HHIIBBHHH", source, port, 1, 0, 0x50, 2, 1000, 0, 0), 16)


def fragments(kind, target):
    """A datagram or a connection attempt in pieces so small that the first one does not say where it all goes to, last one first."""
    host, port = split(target)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as tap:
        tap.settimeout(LONGEST)
        s.bind((GUEST, 0))
        source = s.getsockname()[1]
        text = TRIED.encode()
        whole = transport(host, 17, struct.pack("!HHHH", source, port, 8 + len(text), 0) + text, 6) if kind == "udp" else syn(host, port, source)
        pieces = [(at, whole[at : at + 8]) for at in range(0, len(whole), 8)]
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            for at, piece in reversed(pieces):
                raw.sendto(ip_packet(host, 17 if kind == "udp" else 6, piece, 77, at, at + 8 < len(whole)), (host, 0))
        return answered(tap, host, port, source)


def frame(kind, target):
    """What the guest's own kernel would not send: a connection attempt as a frame, whatever its target is."""
    host, port = split(target)
    six = ":" in host
    segment = syn(host, port, 4000)
    if six:
        packet = struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + socket.inet_pton(socket.AF_INET6, GUEST6)
        packet += socket.inet_pton(socket.AF_INET6, host) + segment
    else:
        packet = ip_packet(host, 6, segment)
    kind = 0x86DD if six else 0x0800
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(kind)) as tap:
        tap.settimeout(LONGEST)
        tap.sendto(packet, ("eth0", kind, 0, 0, bytes.fromhex("0262616e6701")))
        return answered(tap, host, port, 4000)


def answered(tap, host, port, source):
    """What comes back to a port of ours, as the guest's kernel sees it."""
    six = ":" in host
    address = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, host)
    while True:
        packet, where = tap.recvfrom(65536)
        if where[2] == socket.PACKET_OUTGOING:
            continue
        number, at, sender = (packet[6], 40, packet[8:24]) if six else (packet[9], 20, packet[12:16])
        body = packet[at:]
        # An error holds the packet that it is about; of a fragmented one the ports may be missing.
        quoted = body[8:]
        if number == (58 if six else 1) and body[0] == (1 if six else 3) and quoted[at - len(address) : at] == address:
            return "prohibited"
        if sender != address or number not in (6, 17) or struct.unpack("!HH", body[:4]) != (port, source):
            continue
        if number == 17:
            return "echo"
        return "refused" if body[13] & 4 else "answered" if body[13] & 18 == 18 else "something else"


if os.path.exists("/proc/sys/net/ipv4/ping_group_range"):
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:
        f.write("0 0")
ways = {f.__name__: f for f in (tcp, say, http, tls, udp, ping, protocol, dns, fragments, frame)}
for TRIED in json.loads(sys.argv[1]):
    way, *words = TRIED.split(" ")
    began = time.monotonic()
    try:
        outcome = ways[way](*words)
    except Exception as error:
        outcome = word(error)
    print(json.dumps({"attempt": TRIED, "outcome": outcome, "ms": (time.monotonic() - began) * 1000}), flush=True)
