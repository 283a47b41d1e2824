"""The network commands of /bin, each with its exact output, on the fake machine and the host's loopback."""

from __future__ import annotations

import io
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import commands
import pytest
from commands import Result, run
from fake_hal import FakeHal

from harness.paths import REPOSITORY
from kernel import net
from kernel.net import _configuration, _resolver


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own that the command runs in, and files of the resolver."""
    monkeypatch.setattr(commands, "BIN", REPOSITORY / "pylib" / "bin")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "resolv.conf").write_text("nameserver 10.0.2.3\n")
    monkeypatch.setattr(_configuration, "RESOLV_CONF", str(tmp_path / "etc" / "resolv.conf"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def fails(name: str, *arguments: str) -> str:
    """Returns the line with which a command fails."""
    result = run(name, *arguments)
    assert (result.out, result.status) == ("", 1)
    return result.err


# -- ifconfig, netstat --------------------------------------------------------------------------


def test_ifconfig_shows() -> None:
    text = run("ifconfig").out
    assert text.splitlines()[0] == "lo: <up>  mtu 65536"
    assert text.splitlines()[-3:-1] == ["gateway 10.0.2.2 by eth0", "name servers 10.0.2.3"]
    assert run("ifconfig", "-a").out.splitlines()[:3] == text.splitlines()[:3]
    assert run("ifconfig", "lo").out == (
        "lo: <up>  mtu 65536\n        inet 127.0.0.1/8\n        inet6 ::1/128\n"
        "        RX packets 101  bytes 100  errors 102  dropped 103\n"
        "        TX packets 105  bytes 104  errors 106  dropped 107\n"
    )


def test_ifconfig_sets() -> None:
    nothing = Result("", "", 0, str(Path.cwd()))
    assert run("ifconfig", "eth0", "10.0.2.50/24", "fec0::5/64", "gateway", "10.0.2.9", "dns", "10.0.2.8,10.0.2.7") == nothing
    found = net.ifconfig("eth0")
    assert found.interfaces[0].addresses == ("10.0.2.50/24", "fec0::5/64")
    assert [str(route) for route in found.gateways] == ["default via 10.0.2.9 dev eth0"]
    assert found.name_servers == ("10.0.2.8", "10.0.2.7")
    assert run("ifconfig", "10.0.2.51", "netmask", "255.255.255.0", "gateway", "none", "down") == nothing
    found = net.ifconfig("eth0")
    assert (found.gateways, found.interfaces[0].is_up) == ((), False)
    assert found.interfaces[0].addresses == ("10.0.2.51/24",)
    assert run("ifconfig", "dhcp", "up") == nothing
    assert (net.interfaces["eth0"].uses_dhcp, net.interfaces["eth0"].is_up) == (True, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("eth9", "eth9: no such interface or setting (try `ifconfig --help`)"),
        ("eth9 up", "eth9: no such interface or setting (try `ifconfig --help`)"),
        ("eth0 up down", "either up or down"),
        ("eth0 gateway", "gateway: its value is missing"),
        ("eth0 gateway x", "'x' does not appear to be an IPv4 or IPv6 address"),
        ("eth0 10.0.2.300/24", "'10.0.2.300/24' does not appear to be an IPv4 or IPv6 interface"),
        ("eth0 10.0.2.50", "'10.0.2.50' lacks the length of its prefix, as in 10.0.2.50/24"),
        ("eth0 netmask 255.0.0.0", "netmask: wants one address without a length"),
        ("eth0 dhcp 10.0.2.50/24", "an interface has static addresses or those of DHCP"),
        ("dns ten", "'ten' does not appear to be an IPv4 or IPv6 address"),
        ("hostname a/b", "'a/b' is no host name"),
    ],
)
def test_ifconfig_refuses(arguments: str, expected: str) -> None:
    assert fails("ifconfig", *arguments.split()) == f"ifconfig: {expected}\n"


INTERFACES = """\
NAME STATE   MTU RX-BYTES RX-PACKETS RX-ERRORS RX-DROPPED TX-BYTES TX-PACKETS TX-ERRORS TX-DROPPED ADDRESSES
lo   up    65536      100        101       102        103      104        105       106        107 127.0.0.1/8 ::1/128
eth0 up     1500      200        201       202        203      204        205       206        207 10.0.2.15/24
"""
SOCKETS = """\
PROTO RECV-Q SEND-Q LOCAL ADDRESS  FOREIGN ADDRESS STATE
tcp6       0      0 [::]:5000      *:*             LISTEN
tcp        7   8192 10.0.2.15:5000 10.0.2.2:49152  CLOSE_WAIT
udp        0      0 0.0.0.0:68     *:*             -
raw        0      0 0.0.0.0:*      *:*             -
"""


@pytest.fixture
def some_sockets(hal: FakeHal) -> None:
    """A few sockets."""
    keys = ("protocol", "receive_queue", "send_queue", "local", "remote", "state")
    rows: list[tuple[Any, ...]] = [
        ("tcp6", 0, 0, ("::", 5000), None, "LISTEN"),
        ("tcp", 7, 8192, ("10.0.2.15", 5000), ("10.0.2.2", 49152), "CLOSE_WAIT"),
        ("udp", 0, 0, ("0.0.0.0", 68), None, ""),
        ("raw", 0, 0, ("0.0.0.0", 0), None, ""),
    ]
    hal.socket_rows = [dict(zip(keys, row, strict=True)) for row in rows]


@pytest.mark.usefixtures("some_sockets")
def test_netstat() -> None:
    assert run("netstat").out == run("netstat", "-an").out == f"{INTERFACES}\n{SOCKETS}"
    assert run("netstat", "-i").out == INTERFACES
    lines = SOCKETS.splitlines()
    assert [line.split() for line in run("netstat", "-t").out.splitlines()] == [line.split() for line in lines[:3]]
    assert [line.split() for line in run("netstat", "-uw").out.splitlines()[1:]] == [line.split() for line in lines[3:]]
    assert [line.split() for line in run("netstat", "-l").out.splitlines()[1:]] == [lines[1].split()]
    assert run("netstat", "-r").out == (
        "DESTINATION GATEWAY  INTERFACE\n0.0.0.0/0   10.0.2.2 eth0\n10.0.2.0/24 -        eth0\n"
    )


# -- nslookup -----------------------------------------------------------------------------------


def test_nslookup(monkeypatch: pytest.MonkeyPatch) -> None:
    out = run("nslookup", "localhost").out
    assert out.startswith("Name:    localhost\n")
    assert "Address: 127.0.0.1\n" in out
    monkeypatch.setattr(_resolver, "_ask", lambda *arguments: [f"answer to {arguments[1:]}"])
    assert run("nslookup", "-p", "5353", "-t", "2", "192.0.2.1", "10.0.2.3").out == (
        "Server:  10.0.2.3\n"
        "Name:    answer to ('1.2.0.192.in-addr.arpa', 12, '10.0.2.3', 5353, 2)\nAddress: 192.0.2.1\n"
    )
    assert run("nslookup", "host.test", "10.0.2.3").out == (
        "Server:  10.0.2.3\nName:    host.test\n"
        "Address: answer to ('host.test', 1, '10.0.2.3', 53, 5)\nAddress: answer to ('host.test', 28, '10.0.2.3', 53, 5)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["localhost", "server"], "server: not an address"),
        (["-p", "53", "localhost"], "-p and -t are about SERVER, which is missing"),
        (["a" * 64], f"{'a' * 64}: not a host's name"),
        (["-t", "1", "-p", "9", "a..b", "127.0.0.1"], "a..b: not a host's name"),
        ([], "an argument is missing; usage: nslookup [-p PORT] [-t SECONDS] NAME [SERVER]"),
    ],
)
def test_nslookup_refuses(arguments: list[str], expected: str) -> None:
    assert fails("nslookup", *arguments) == f"nslookup: {expected}\n"


def test_nslookup_says_that_there_is_no_such_name() -> None:
    assert re.fullmatch(r"nslookup: a name\.invalid: .+\n", fails("nslookup", "a name.invalid"))


# -- ping ---------------------------------------------------------------------------------------


class Raw:
    """A raw socket of ICMP whose packets come back, from somebody who answers as `answers` says."""

    answers: list[str]

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        assert kind == socket.SOCK_RAW
        self.is_ipv4 = protocol == socket.IPPROTO_ICMP
        self.waiting: list[bytes] = []
        self.todo = list(self.answers)

    def settimeout(self, seconds: float) -> None:
        """Waits never."""

    def close(self) -> None:
        """Has nothing to close."""

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        """Answers a request."""
        assert commands_checksum(data) == 0 or not self.is_ipv4
        answer = self.todo.pop(0)
        # A raw socket on loopback sees the request, too.
        self.deliver(data)
        reply = bytes([0 if self.is_ipv4 else 129]) + data[1:]
        if answer in ("echo", "twice"):
            for _ in range(1 + (answer == "twice")):
                self.deliver(reply)
        elif answer == "other":
            self.deliver(reply[:4] + bytes(byte ^ 1 for byte in reply[4:6]) + reply[6:])
        elif answer == "unreachable":
            self.deliver(bytes([3, 1]) + bytes(6) + bytes([0x45]) + bytes(19) + data[:8])
        elif answer == "interrupt":
            raise KeyboardInterrupt
        elif answer == "error":
            raise OSError(101, "Network is unreachable")

    def deliver(self, message: bytes) -> None:
        """Has a packet arrive."""
        header = bytes([0x45]) + bytes(7) + bytes([64]) + bytes(11)
        self.waiting.append(header + message if self.is_ipv4 else message)

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        """Hands over what has arrived."""
        if not self.waiting:
            raise TimeoutError
        return self.waiting.pop(0), ("127.0.0.1" if self.is_ipv4 else "::1", 0)


def commands_checksum(data: bytes) -> int:
    """Returns the Internet checksum, which is 0 of what carries its own."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> type[Raw]:
    """Raw sockets that answer."""
    monkeypatch.setattr(socket, "socket", Raw)
    return Raw


def ping(*arguments: str) -> tuple[str, int]:
    """Pings; returns what was printed, without the times, and the status."""
    result = run("ping", *arguments)
    assert result.err == ""
    text = re.sub(r"time=\d+\.\d{3} ms", "time=T ms", result.out)
    text = re.sub(r"mdev = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms", "mdev = T ms", text)
    return re.sub(r"time \d+ms", "time T", text), result.status


def test_ping(raw: type[Raw]) -> None:
    raw.answers = ["echo", "echo"]
    assert ping("-c", "2", "-i", "0", "127.0.0.1") == (
        "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n"
        "64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=T ms\n"
        "64 bytes from 127.0.0.1: icmp_seq=2 ttl=64 time=T ms\n"
        "--- 127.0.0.1 ping statistics ---\n"
        "2 packets transmitted, 2 received, 0% packet loss, time T\nrtt min/avg/max/mdev = T ms\n",
        0,
    )


def test_ping_over_ipv6(raw: type[Raw]) -> None:
    raw.answers = ["echo"]
    assert ping("-c1", "-s", "0", "::1")[0].splitlines()[:2] == [
        "PING ::1 (::1) 0(48) bytes of data.",
        "8 bytes from ::1: icmp_seq=1 time=T ms",
    ]
    assert fails("ping", "-4", "::1") == "ping: ::1: has no address of this version of IP\n"


def test_ping_counts_what_does_not_come_back(raw: type[Raw]) -> None:
    raw.answers = ["twice", "none", "other", "unreachable"]
    assert ping("-c", "4", "127.0.0.1") == (
        "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n"
        "64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=T ms\n"
        "64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 (DUP!)\n"
        "From 127.0.0.1 icmp_seq=4 Destination Host Unreachable\n"
        "--- 127.0.0.1 ping statistics ---\n"
        "4 packets transmitted, 1 received, +1 errors, 75% packet loss, time T\nrtt min/avg/max/mdev = T ms\n",
        0,
    )
    raw.answers = ["none"]
    assert ping("-qc1", "127.0.0.1") == (
        "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n--- 127.0.0.1 ping statistics ---\n"
        "1 packets transmitted, 0 received, 100% packet loss, time T\n",
        1,
    )


def test_ctrl_c_ends_ping_with_its_summary(raw: type[Raw]) -> None:
    raw.answers = ["echo", "interrupt"]
    out, status = ping("127.0.0.1")
    assert out.splitlines()[1:] == [
        "64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=T ms",
        "",
        "--- 127.0.0.1 ping statistics ---",
        "2 packets transmitted, 1 received, 50% packet loss, time T",
        "rtt min/avg/max/mdev = T ms",
    ]
    assert status == 0


def test_ping_says_what_cannot_be_sent(raw: type[Raw]) -> None:
    raw.answers = ["error"]
    result = run("ping", "-c1", "127.0.0.1")
    assert (result.err, result.status) == ("ping: 127.0.0.1: Network is unreachable\n", 1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-s", "70000", "::1"], "70000: a packet carries 65507 bytes at most"),
        (["-i", "-1", "::1"], "-1: not a time in seconds"),
        (["-c", "x", "::1"], "x: not a whole number"),
        (["a..b"], "a..b: not a host's name"),
    ],
)
def test_ping_refuses(arguments: list[str], expected: str) -> None:
    assert fails("ping", *arguments) == f"ping: {expected}\n"


# -- wget ---------------------------------------------------------------------------------------


class Site(BaseHTTPRequestHandler):
    """A few pages."""

    def do_GET(self) -> None:
        """Answers."""
        path = self.path
        status = {"/nothing": 404, "/moved": 302, "/circle": 302, "/safe": 302, "/outside": 302}.get(path, 200)
        self.send_response(status)
        target = {"/moved": "/notes", "/circle": "/circle", "/safe": "https://127.0.0.1/", "/outside": "file:///etc/passwd"}
        if path in target:
            self.send_header("Location", target[path])
        body = b"one\ntwo\n" if status == 200 else b""
        # A server that promises more than it sends.
        if path != "/endless":
            self.send_header("Content-Length", str(len(body) + 5 * (path == "/short")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Where the pages are."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the host's."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_wget(site: str, here: Path) -> None:
    result = run("wget", f"http://{site}/a/notes%20of%20today", site, f"{site}/endless")
    assert (result.err, result.status) == ("", 0)
    assert result.out == "notes of today: 8 bytes saved\nindex.html: 8 bytes saved\nendless: 8 bytes saved\n"
    assert (here / "notes of today").read_text() == (here / "index.html").read_text() == "one\ntwo\n"
    assert run("wget", "-qO", "other", f"{site}/moved").out == ""
    assert run("wget", "-O", "other", f"{site}/moved").out == "other: 8 bytes saved\n"
    assert (here / "other").read_text() == "one\ntwo\n"
    assert run("wget", "-O-", f"{site}/notes").out == "one\ntwo\n"


def test_wget_shows_its_progress(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(io, "StringIO", Terminal)
    # The first piece shows at once; when the others come, and whether they come apart, is up to the connection.
    assert re.fullmatch(r"(\r\x1b\[Knotes:  ?\d+% of 8, \S+/s)+\r\x1b\[K", run("wget", f"{site}/notes").err)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/nothing", "{}: 404 Not Found"),
        ("/circle", "{}: it redirects in circles"),
        ("/short", "{}: the connection ended after 8 of 13 bytes"),
        ("/safe", "https://127.0.0.1/: no HTTPS, as this Python has no TLS; only http://"),
        ("/outside", "{}: 302 Found - Redirection to url 'file:///etc/passwd' is not allowed"),
    ],
)
def test_wget_says_why_it_saves_nothing(site: str, here: Path, path: str, expected: str) -> None:
    assert fails("wget", f"{site}{path}") == f"wget: {expected.format(f'http://{site}{path}')}\n"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/", "https://host/: no HTTPS, as this Python has no TLS; only http://"),
        ("file:///etc/passwd", "file:///etc/passwd: not a URL of http://"),
        ("http://127.0.0.1:port/", "http://127.0.0.1:port/: nonnumeric port: 'port'"),
        ("http://", "http://: no host given"),
    ],
)
def test_wget_refuses(url: str, expected: str) -> None:
    assert fails("wget", url) == f"wget: {expected}\n"


def test_wget_writes_over_nothing_by_itself(site: str, here: Path) -> None:
    (here / "notes").write_text("mine")
    result = run("wget", f"{site}/notes", f"{site}/other")
    assert result.err == "wget: notes: File exists (wget -O notes writes over it)\n"
    assert (result.out, result.status, (here / "notes").read_text()) == ("other: 8 bytes saved\n", 1, "mine")
    assert fails("wget", "-O", "no/such", f"{site}/notes") == "wget: no/such: No such file or directory\n"


def test_wget_says_that_nobody_is_there() -> None:
    with closed_port() as port:
        assert fails("wget", f"127.0.0.1:{port}") == f"wget: http://127.0.0.1:{port}: Connection refused\n"


# -- ftp ----------------------------------------------------------------------------------------


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is taken, where nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_ftp_put(here: Path) -> None:
    data = bytes(range(256)) * 1000
    (here / "data").write_bytes(data)
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                while piece := client.recv(4096):
                    received.extend(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        assert run("ftp", "put", "data", "127.0.0.1", str(port)).out == (
            f"ftp: connecting to 127.0.0.1:{port}\nftp: sent 256000 bytes from data\n"
        )
        thread.join()
    assert received == data


def test_ftp_get(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 1000
    (here / "data").write_bytes(b"old" * 1_000_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        # The command takes the listening socket of the test, so that its port is surely free.
        monkeypatch.setattr(socket, "create_server", lambda address, backlog: server)

        def send() -> None:
            with socket.create_connection(server.getsockname()) as client:
                client.sendall(data)

        thread = threading.Thread(target=send)
        thread.start()
        assert run("ftp", "get", "data", "7000").out == (
            "ftp: listening on 10.0.2.15:7000\nftp: waiting for one incoming file stream\nftp: saved 256000 bytes to data\n"
        )
        thread.join()
    assert (here / "data").read_bytes() == data


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("take x", "usage: ftp get DST [PORT], or ftp put SRC [HOST] [PORT]"),
        ("get x 1 2", "usage: ftp get DST [PORT], or ftp put SRC [HOST] [PORT]"),
        ("get", "usage: ftp get DST [PORT], or ftp put SRC [HOST] [PORT]"),
        ("get x 0", "0: not a port"),
        ("put x host 70000", "70000: not a port"),
        ("put nothing", "nothing: No such file or directory"),
        ("put .", ".: Is a directory"),
        ("get .", ".: Is a directory"),
        ("get no/such", "no/such: No such file or directory"),
    ],
)
def test_ftp_refuses(arguments: str, expected: str) -> None:
    assert fails("ftp", *arguments.split()) == f"ftp: {expected}\n"


def test_ftp_says_that_nobody_is_there_or_somebody_else_is(here: Path) -> None:
    (here / "data").touch()
    with closed_port() as port:
        result = run("ftp", "put", "data", "127.0.0.1", str(port))
        assert (result.err, result.status) == (f"ftp: 127.0.0.1:{port}: Connection refused\n", 1)
        assert fails("ftp", "get", "data", str(port)) == f"ftp: port {port}: Address already in use\n"
