"""What http_clients and http_hostile share: http_echo as a process, and bytes of HTTP.

usage of both: CASE HTTP_ECHO ADDRESS DIR PASSWORD
"""
import base64
import http.client
import signal
import socket
import ssl
import struct
import subprocess
import sys

CASE, ECHO, ADDRESS, DIR, PASSWORD = sys.argv[1:6]
WAIT = 120  # ends a case that hangs; never reached otherwise
BASIC = {"Authorization": "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()}


class Server:
    """http_echo with these options; `tls` and users unless they are left out."""

    def __init__(self, *options, tls=True, users=True):
        self.tls = tls
        argv = [ECHO, ADDRESS, *options]
        argv += ["--tls", f"{DIR}/tls", "--http2"] if tls else []
        argv += ["--users", f"{DIR}/users"] if users else []
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.url = f"{'https' if tls else 'http'}://{ADDRESS}:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT)
        assert kind is not None or code == 0, f"http_echo ended with {code}"

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        return self.process.stdout.readline().strip()

    def context(self, client=None):
        context = ssl.create_default_context(cafile=f"{DIR}/ca/ca.pem")
        context.check_hostname = False
        if client:
            context.load_cert_chain(f"{DIR}/{client}/node.pem", f"{DIR}/{client}/node.key")
        return context

    def client(self, certificate=None):
        if not self.tls:
            return http.client.HTTPConnection(ADDRESS, self.port, timeout=WAIT)
        return http.client.HTTPSConnection(ADDRESS, self.port, timeout=WAIT,
                                           context=self.context(certificate))

    def socket(self, certificate=None):
        plain = socket.create_connection((ADDRESS, self.port), timeout=WAIT)
        return self.context(certificate).wrap_socket(plain) if self.tls else plain

    def ask(self, path, method="GET", body=None, headers=None):
        c = self.client()
        c.request(method, path, body, {**BASIC, **(headers or {})})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, data.decode(errors="replace")

    def stats(self):
        return {k: int(v) for k, v in
                (line.split() for line in self.ask("/stats")[1].splitlines())}

    def until(self, holds):
        """Asks until the counters are as they must become; each time is an event."""
        while True:
            stats = self.stats()
            if holds(stats):
                return stats

    def curl_argv(self, *arguments, version="--http1.1"):
        return ["curl", "-sS", "-k", "--max-time", str(WAIT), version, "-u", f"admin:{PASSWORD}",
                *arguments]

    def curl(self, *arguments, version="--http1.1", data=None):
        r = subprocess.run(self.curl_argv(*arguments, version=version), input=data,
                           capture_output=True, check=False)
        return r.returncode, r.stdout.decode(errors="replace")


VERSIONS = ("--http1.1", "--http2")


def expect(condition, said):
    if not condition:
        raise AssertionError(said)


def field(text, name):
    return next(line.split(" ", 1)[1] for line in text.splitlines() if line.startswith(name + " "))


def raw(server, text, certificate=None):
    """What the server says to these bytes until it closes."""
    s = server.socket(certificate)
    s.sendall(text if isinstance(text, bytes) else text.encode())
    got = b""
    try:
        while piece := s.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    s.close()
    return got.decode(errors="replace")


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x",
                        f"Authorization: {BASIC['Authorization']}", *lines, "", ""])


def frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2: 0 DATA, 1 HEADERS, 3 RST_STREAM, 4 SETTINGS, 6 PING, 7 GOAWAY, …"""
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
ENDS, ENDS_HEADERS = 1, 4


def request2(stream, path, *fields, method=b"\x82", flags=ENDS | ENDS_HEADERS):
    """HEADERS of a GET, or of a POST (method b"\\x83")."""
    block = method + b"\x87" + literal(b":path", path) + literal(b":authority", b"x")
    return frame(1, flags, stream, block + b"".join(literal(*f) for f in fields))


class Client2:
    """A connection of HTTP/2, frame by frame."""

    def __init__(self, server):
        context = server.context()
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(
            socket.create_connection((ADDRESS, server.port), timeout=WAIT))
        expect(self.socket.selected_alpn_protocol() == "h2", "ALPN")
        self.kept = b""
        self.send(PREFACE)

    def send(self, data):
        self.socket.sendall(data)

    def frames(self):
        """(type, flags, stream, payload) until the server closes."""
        while True:
            while len(self.kept) < 9 or len(self.kept) < 9 + int.from_bytes(self.kept[:3], "big"):
                try:
                    piece = self.socket.recv(65536)
                except (ConnectionResetError, ssl.SSLEOFError):
                    piece = b""
                if not piece:
                    return
                self.kept += piece
            n = 9 + int.from_bytes(self.kept[:3], "big")
            now, self.kept = self.kept[:n], self.kept[n:]
            yield now[3], now[4], int.from_bytes(now[5:9], "big"), now[9:]

    def until(self, kind, stream=0):
        """The payload of the next such frame."""
        for k, _, s, payload in self.frames():
            if (k, s) == (kind, stream):
                return payload
        raise AssertionError(f"closed before a frame {kind} of stream {stream}")

    def goodbye(self):
        """The error of the GOAWAY that comes before the end; None: there was none."""
        error = None
        for kind, _, _, payload in self.frames():
            if kind == 7:
                error = int.from_bytes(payload[4:8], "big")
        return error


def main(cases):
    """Runs the case that was asked for; exits with 1 and what did not hold otherwise."""
    try:
        cases["case_" + CASE]()
    except AssertionError as error:
        print(f"{CASE}: {error}")
        raise
