"""The network's commands and examples, typed at the prompt of a machine with a card, with what they print."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from net_servers import answering, name_server, time_server

from harness.machines import Machines, Shape
from harness.paths import REPOSITORY
from harness.serial import Prompt

#: Where QEMU's network shows the host to the machine, and where the machine is in it.
HOST, MACHINE = "10.0.2.2", "10.0.2.15"
#: The machine's port of `ftp get`.
FILE_PORT = 7000
DATA = bytes(range(256)) * 4000
#: A time that a machine prints.
MS = r"\d+\.\d{3}"
LAST = rf"rtt min/avg/max/mdev = {MS}/{MS}/{MS}/{MS} ms\n"
EXAMPLES = REPOSITORY / "pylib" / "examples"


@pytest.fixture(scope="module")
def forwarded() -> int:
    """A port of the host that is free, and leads to the machine's `FILE_PORT`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def prompt(machines: Machines, forwarded: int) -> Iterator[Prompt]:
    """One machine at its prompt that has an address."""
    machines.close()
    with machines.prompt(Shape(), forwards={forwarded: FILE_PORT}) as running:
        running.run("import sys; sys.path.append('/tests'); import network, socket, time")
        running.run(f"network.wait_for_address('{HOST}')")
        running.run("cd /tmp")
        yield running


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    """Connects to a port of the host."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        yield connection


@contextmanager
def receiver() -> Iterator[tuple[int, bytearray]]:
    """Yields a port of the host, and what the first client there has sent once this ends."""
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def receive() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(1 << 16):
                    received.extend(data)

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        yield server.getsockname()[1], received
        thread.join(60)


class Site(BaseHTTPRequestHandler):
    """A file, and a way to it."""

    def do_GET(self) -> None:
        """Answers."""
        self.send_response({"/data": 200, "/moved": 302}.get(self.path, 404))
        if self.path == "/moved":
            self.send_header("Location", "/data")
        body = DATA if self.path == "/data" else b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """Where the machine finds it on the host."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


def shown(prompt: Prompt, line: str, timeout: float = 60.0) -> str:
    """Types a line; returns what it prints, without what the kernel logs meanwhile."""
    return re.sub(r"\[ *\d+\.\d{6}\] \[PythonOS\] [^\n]*\n", "", prompt.output(line, timeout=timeout))


def sha256_of(prompt: Prompt, path: str) -> str:
    """Returns the hash of a file of the machine."""
    return prompt.evaluate(f"__import__('hashlib').sha256(open('{path}', 'rb').read()).hexdigest()").strip("'")


# -- what there is ------------------------------------------------------------------------------

COUNTED = r"packets \d+  bytes \d+  errors \d+  dropped \d+"
COUNTERS = rf"        RX {COUNTED}\n        TX {COUNTED}\n"


def test_ifconfig_shows_the_card(prompt: Prompt) -> None:
    lo = rf"lo: <up>  mtu \d+\n        inet 127\.0\.0\.1/8\n        inet6 ::1/128\n{COUNTERS}"
    eth0 = (
        r"eth0: <up,dhcp>  mtu 1500\n        inet 10\.0\.2\.15/24\n(        inet6 \S+\n)*"
        rf"        ether 52:54:00(:[0-9a-f]{{2}}){{3}}\n        lease of 10\.0\.2\.2 for another \d+ s\n{COUNTERS}"
    )
    end = r"gateway 10\.0\.2\.2 by eth0\n(gateway fe80::\S+ by eth0\n)?name servers \S+\nhost name pythonos\n"
    assert re.fullmatch(lo + eth0 + end, shown(prompt, "ifconfig"))
    assert re.fullmatch(eth0, shown(prompt, "ifconfig eth0"))
    assert re.fullmatch(lo + eth0 + end, shown(prompt, "net.ifconfig()"))
    assert shown(prompt, "ifconfig eth1") == "ifconfig: eth1: no such interface or setting (try `ifconfig --help`)\n"


def test_interfaces_are_live(prompt: Prompt) -> None:
    assert shown(prompt, "[each.name for each in net.interfaces]") == "['lo', 'eth0']\n"
    assert shown(prompt, "net.interfaces['eth0'].mac.startswith('52:54:00:')") == "True\n"
    prompt.run("before = net.interfaces['lo']")
    assert shown(prompt, "network.transfer(1, '127.0.0.1')['is_same']") == "True\n"
    assert shown(prompt, "net.interfaces['lo'].rx_bytes - before.rx_bytes > 1 << 20") == "True\n"
    assert shown(prompt, "net.interfaces['eth0'].index == socket.if_nametoindex('eth0')") == "True\n"
    assert "default via 10.0.2.2 dev eth0\n" in shown(prompt, "net.routes")


def test_netstat_shows_sockets_and_their_states(prompt: Prompt) -> None:
    prompt.run("server = socket.create_server(('127.0.0.1', 4242))")
    # What a listening socket has room for is in the place of what was sent, as with ss(8).
    listening = ["tcp", "0", "128", "127.0.0.1:4242", "*:*", "LISTEN"]
    assert listening in [row.split() for row in shown(prompt, "netstat -lt").splitlines()]
    prompt.run("client = socket.create_connection(('127.0.0.1', 4242)); accepted, (_, port) = server.accept()")
    prompt.run("client.send(b'unread') and accepted.shutdown(socket.SHUT_WR)")
    port = int(prompt.evaluate("port"))
    interfaces, _, sockets = shown(prompt, "netstat").partition("\n\n")
    assert [line.split()[:2] for line in interfaces.splitlines()] == [["NAME", "STATE"], ["lo", "up"], ["eth0", "up"]]
    # The acknowledgement of the FIN may be under way still.
    rows = [line.replace("FIN_WAIT1", "FIN_WAIT2").split() for line in sockets.splitlines()]
    assert rows[0] == ["PROTO", "RECV-Q", "SEND-Q", "LOCAL", "ADDRESS", "FOREIGN", "ADDRESS", "STATE"]
    assert sorted(row for row in rows if "127.0.0.1:4242" in row) == sorted(
        [
            listening,
            ["tcp", "6", "0", "127.0.0.1:4242", f"127.0.0.1:{port}", "FIN_WAIT2"],
            ["tcp", "0", "0", f"127.0.0.1:{port}", "127.0.0.1:4242", "CLOSE_WAIT"],
        ]
    )
    prompt.run("server.close(), client.close(), accepted.close()")
    assert ["10.0.2.0/24", "-", "eth0"] in [row.split() for row in shown(prompt, "netstat -r").splitlines()]


# -- ping ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", HOST, MACHINE])
def test_ping(prompt: Prompt, address: str) -> None:
    answers = "".join(rf"64 bytes from {address}: icmp_seq={n} ttl=\d+ time={MS} ms\n" for n in (1, 2))
    assert re.fullmatch(
        rf"PING {address} \({address}\) 56\(84\) bytes of data\.\n{answers}"
        rf"--- {address} ping statistics ---\n2 packets transmitted, 2 received, 0% packet loss, time \d+ms\n{LAST}",
        shown(prompt, f"ping -c 2 -i 0.1 {address}"),
    )


def test_ping_over_ipv6(prompt: Prompt) -> None:
    assert re.fullmatch(
        rf"PING ::1 \(::1\) 1000\(1048\) bytes of data\.\n1008 bytes from ::1: icmp_seq=1 time={MS} ms\n"
        rf"--- ::1 ping statistics ---\n1 packets transmitted, 1 received, 0% packet loss, time \d+ms\n{LAST}",
        shown(prompt, "ping -c1 -s1000 ::1"),
    )


def test_ctrl_c_ends_ping_with_its_summary(prompt: Prompt) -> None:
    prompt.skip()
    prompt.type_line("ping -i 0.1 127.0.0.1")
    prompt.expect(r"icmp_seq=3 [^\n]*\n", 60)
    prompt.send(b"\x03")
    end = prompt.expect(r"\n--- 127\.0\.0\.1 ping statistics ---\r*\n(\d+) packets transmitted, (\d+) received[^\n]*\n", 30)
    assert int(end[1]) >= int(end[2]) >= 3
    prompt.wait_for_prompt()
    assert shown(prompt, "1 + 1") == "2\n"


def test_ping_says_what_is_wrong_in_one_line(prompt: Prompt) -> None:
    assert shown(prompt, "ping a..b") == "ping: a..b: not a host's name\n"


# -- names --------------------------------------------------------------------------------------


def test_nslookup(prompt: Prompt) -> None:
    first, *others = shown(prompt, "nslookup localhost").splitlines()
    assert (first, sorted(others)) == ("Name:    localhost", ["Address: 127.0.0.1", "Address: ::1"])
    assert shown(prompt, "nslookup 127.0.0.1") == "Name:    localhost\nAddress: 127.0.0.1\n"
    with answering(name_server) as port:
        assert shown(prompt, f"nslookup -p {port} host.test {HOST}") == (
            f"Server:  {HOST}\nName:    host.test\nAddress: 192.0.2.1\nAddress: 192.0.2.2\nAddress: 2001:db8::1\n"
        )
        assert shown(prompt, f"nslookup -p {port} 192.0.2.1 {HOST}") == (
            f"Server:  {HOST}\nName:    host.test\nAddress: 192.0.2.1\n"
        )
        assert shown(prompt, f"nslookup -p {port} no.test {HOST}") == "nslookup: no.test: Name does not resolve\n"


# -- files --------------------------------------------------------------------------------------


def test_wget(prompt: Prompt, site: str) -> None:
    prompt.run("rm -f data")
    for line, name in ((f"wget -O moved {site}/moved", "moved"), (f"wget {site}/data", "data")):
        # While it lasts, a line tells how far it is, and is removed.
        drawn = rf"\x1b\[K{name}: +\d+% of 1000K, \S+/s"
        assert re.fullmatch(rf"({drawn})+\x1b\[K{name}: {len(DATA)} bytes saved\n", shown(prompt, line))
    assert sha256_of(prompt, "/tmp/data") == sha256_of(prompt, "/tmp/moved") == hashlib.sha256(DATA).hexdigest()
    assert shown(prompt, f"wget {site}/data") == "wget: data: File exists (wget -O data writes over it)\n"
    assert shown(prompt, f"wget {site}/none") == f"wget: {site}/none: 404 Not Found\n"
    assert shown(prompt, f"wget https://{HOST}/") == (
        f"wget: https://{HOST}/: no HTTPS, as this Python has no TLS; only http://\n"
    )


def test_ftp_get(prompt: Prompt, forwarded: int) -> None:
    prompt.skip()
    prompt.type_line("ftp get /tmp/got")
    prompt.expect(rf"\r*\nftp: listening on {MACHINE}:7000\r*\nftp: waiting for one incoming file stream\r*\n", 60)
    with client(forwarded) as connection:
        connection.sendall(DATA)
    prompt.expect(rf"ftp: saved {len(DATA)} bytes to /tmp/got\r*\n", 60)
    prompt.wait_for_prompt()
    assert sha256_of(prompt, "/tmp/got") == hashlib.sha256(DATA).hexdigest()


def test_ctrl_c_ends_ftp_get_and_its_port_is_free(prompt: Prompt, forwarded: int) -> None:
    prompt.run("open('/tmp/kept', 'w').write('kept\\n')")
    prompt.skip()
    prompt.type_line("ftp get /tmp/kept")
    prompt.expect("ftp: waiting for one incoming file stream", 60)
    prompt.interrupt()
    assert shown(prompt, "cat /tmp/kept") == "kept\n"
    test_ftp_get(prompt, forwarded)


def test_ftp_put(prompt: Prompt) -> None:
    prompt.run(f"open('/tmp/put', 'wb').write(bytes(range(256)) * {len(DATA) // 256})")
    with receiver() as (port, received):
        assert shown(prompt, f"ftp put /tmp/put {HOST} {port}") == (
            f"ftp: connecting to {HOST}:{port}\nftp: sent {len(DATA)} bytes from /tmp/put\n"
        )
    assert bytes(received) == DATA


# -- the clock ----------------------------------------------------------------------------------


def test_ntp_sets_the_clock_and_no_wait_sees_it(prompt: Prompt) -> None:
    day_s = 86_400
    with answering(time_server(day_s)) as ahead, answering(time_server(0)) as right:
        # Lock.acquire, Event.wait, Condition.wait, Queue.get, select, asyncio.sleep; and time.monotonic.
        all_right = str([True] * 7)
        assert prompt.evaluate(f"network.waits_across_ntp('{HOST}', {ahead}, 1.0)", 90) == all_right
        before = time.time()
        offset_s = float(prompt.evaluate(f"net.ntp('{HOST}', port={ahead}).offset_s"))
        there = float(prompt.evaluate("time.time()"))
        after = time.time()
        # Each way may have taken all of the time.
        assert before + day_s - (after - before) <= there <= after + day_s + (after - before)
        assert abs(offset_s) < 60
        assert prompt.evaluate(f"network.waits_across_ntp('{HOST}', {right}, 1.0)", 90) == all_right
        before = time.time()
        prompt.run(f"net.ntp('{HOST}', port={right})")
        assert float(prompt.evaluate("time.time()")) <= time.time() + (time.time() - before)


# -- settings -----------------------------------------------------------------------------------


def test_ifconfig_sets_a_static_address_and_goes_back(prompt: Prompt, site: str) -> None:
    assert shown(prompt, "ifconfig eth0 10.0.2.50/24 gateway 10.0.2.2 dns 10.0.2.3 hostname engine") == ""
    try:
        check_static_address(prompt, site)
    finally:
        prompt.run("ifconfig dhcp hostname pythonos")
        prompt.run(f"network.wait_for_address('{HOST}')")
    assert prompt.evaluate("net.interfaces['eth0'].addresses[0]") == "'10.0.2.15/24'"


def check_static_address(prompt: Prompt, site: str) -> None:
    """Looks at what was set, and uses it."""
    settings = shown(prompt, "net.ifconfig('eth0')")
    assert settings.startswith("eth0: <up>  mtu 1500\n        inet 10.0.2.50/24\n")
    assert "\ngateway 10.0.2.2 by eth0\n" in settings
    assert settings.endswith("name servers 10.0.2.3\nhost name engine\n")
    assert shown(prompt, "nslookup engine") == "Name:    engine\nAddress: 127.0.1.1\n"
    assert shown(prompt, f"sh('wget -qO- {site}/data | wc -c')") == f"{len(DATA):>7}\n"


# -- examples -----------------------------------------------------------------------------------


def test_recv_file_and_send_file(prompt: Prompt, forwarded: int) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    prompt.skip()
    prompt.type_line("run('/examples/recv_file.py')")
    prompt.expect(r"listening on port 7000\r*\n", 60)
    with client(forwarded) as connection:
        connection.sendall(DATA)
    prompt.expect(rf"saved {len(DATA)} bytes from [\d.]+ to /tmp/received\r*\nsha256 {digest}\r*\n", 60)
    prompt.wait_for_prompt()
    with receiver() as (port, received):
        assert shown(prompt, f"run('/examples/send_file.py', '/tmp/received', '{HOST}', '{port}')") == (
            f"sent {len(DATA)} bytes from /tmp/received to {HOST}:{port}\nsha256 {digest}\n"
        )
    assert bytes(received) == DATA


@contextmanager
def serving(prompt: Prompt, name: str, announces: str) -> Iterator[None]:
    """Runs an example that serves at `FILE_PORT` until Ctrl-C."""
    prompt.skip()
    prompt.type_line(f"run('/examples/{name}', '{FILE_PORT}')")
    prompt.expect(rf"{announces} port {FILE_PORT}\b[^\n]*\n", 60)
    yield
    prompt.send(b"\x03")
    prompt.expect(r"stopped\r*\n", 60)
    prompt.wait_for_prompt()


def get(port: int, path: str) -> tuple[int, bytes]:
    """Returns the status and the body of a page."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_http_server(prompt: Prompt, forwarded: int) -> None:
    with serving(prompt, "http_server.py", "serving on"):
        status, page = get(forwarded, "/")
        assert (status, b"<tr><th>system<td>PythonOS on " in page) == (200, True)
        assert get(forwarded, "/primes.py") == (200, (EXAMPLES / "primes.py").read_bytes())
        assert get(forwarded, "/nothing")[0] == 404
        prompt.expect(r'"GET /nothing HTTP/1\.1" 404 -\r*\n', 60)


def echo(connection: socket.socket, data: bytes) -> None:
    """Sends bytes and checks that they come back."""
    connection.sendall(data)
    with connection.makefile("rb") as stream:
        assert stream.read(len(data)) == data


def test_echo_server(prompt: Prompt, forwarded: int) -> None:
    words = [os.urandom(1000) for _ in range(8)]
    with serving(prompt, "echo_server.py", "echoing on"), ExitStack() as clients:
        connections = []
        for word in words:
            connections.append(clients.enter_context(client(forwarded)))
            # One after the other: QEMU lets one wait to be let in, and the host tries again after a second.
            echo(connections[-1], word[:500])
        for connection, word in zip(connections, words, strict=True):
            echo(connection, word[500:])
        clients.close()
        for _ in words:
            prompt.expect(r"has gone, 1000 bytes echoed\r*\n", 60)


def test_parallel_http_serves_on_every_cpu(prompt: Prompt, forwarded: int) -> None:
    printed = shown(prompt, "run('/examples/parallel_http.py')", timeout=120)
    assert re.fullmatch(
        r"requests: 16, all right: True\ncpu 0: \d+ requests\ncpu 1: \d+ requests\n"
        r"speed-up: \d+\.\d\d with 2 threads over one\n",
        printed,
    )
    with serving(prompt, "parallel_http.py", "serving on"):
        assert json.loads(get(forwarded, "/primes/30")[1])["primes"] == 10
