"""Sockets of the Internet families, over loopback and over a card."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import hashlib
import http.client
import http.server
import importlib
import os
import select
import signal
import socket
import socketserver
import struct
import threading
import time
from contextlib import suppress
from typing import Any

LOCALHOST = "127.0.0.1"
# Rows of it have values of every type.
_hal: Any = importlib.import_module("_hal")


def pair(listen_on: str = LOCALHOST) -> tuple[socket.socket, socket.socket]:
    """Returns both ends of a new connection."""
    family = socket.AF_INET6 if ":" in listen_on else socket.AF_INET
    with socket.create_server((listen_on, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        accepted, address = server.accept()
        assert address == client.getsockname()
    return client, accepted


def failure(function: Any, *arguments: Any) -> str | None:
    """Returns the name of the errno that a call fails with."""
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    return None


def transfer(mebibytes: int, address: str) -> dict[str, Any]:
    """Sends so much through one connection while another thread reads it; compares the hashes."""
    client, server = pair(address)
    piece = os.urandom(1 << 20)
    received, count = hashlib.sha256(), 0

    def read() -> None:
        nonlocal count
        while data := server.recv(1 << 16):
            received.update(data)
            count += len(data)

    reader = threading.Thread(target=read)
    reader.start()
    sent = hashlib.sha256()
    for number in range(mebibytes):
        block = bytes([number % 256]) + piece[1:]
        sent.update(block)
        client.sendall(block)
    client.shutdown(socket.SHUT_WR)
    reader.join()
    client.close()
    server.close()
    return {"count": count, "is_same": sent.digest() == received.digest()}


def many_at_once(count: int) -> int:
    """Opens so many connections, all served at once by threads; returns how many answers were right."""

    class Upper(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line.upper())

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = count
        daemon_threads = True

    with Server((LOCALHOST, 0), Upper) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        clients = [socket.create_connection(server.socket.getsockname()) for _ in range(count)]
        for number, client in enumerate(clients):
            client.sendall(b"nonce %d\n" % number)
        answers = [client.makefile("rb").readline() for client in clients]
        for client in clients:
            client.close()
        server.shutdown()
    return sum(answer == b"NONCE %d\n" % number for number, answer in enumerate(answers))


def free_kib() -> int:
    """Returns how much memory is free."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemFree"))


def settled_kib(wanted: int, slack: int) -> int:
    """Returns how much memory is free, as soon as it is so much but for the slack, or after a minute."""
    deadline = time.monotonic() + 60
    while True:
        gc.collect()
        found = free_kib()
        if wanted - found < slack or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def open_and_close(count: int) -> dict[str, int]:
    """Opens and closes so many connections; returns what is missing afterwards."""

    def run(times: int) -> None:
        for _ in range(times):
            client = socket.create_connection(server.getsockname())
            accepted, _ = server.accept()
            client.sendall(b"x")
            assert accepted.recv(2) == b"x"
            client.close()
            assert accepted.recv(2) == b""
            accepted.close()

    with socket.create_server((LOCALHOST, 0)) as server:
        run(100)  # what is allocated once is allocated now
        before = free_kib(), len(os.listdir("/proc/self/fd"))
        run(count)
        after = free_kib(), len(os.listdir("/proc/self/fd"))
    return {"kib": before[0] - after[0], "descriptors": after[1] - before[1]}


def ends() -> dict[str, Any]:
    """Half-close, reset, and errors, as a Linux user knows them."""
    found: dict[str, Any] = {}
    client, server = pair()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    found["read to the end"] = [server.recv(99).decode(), server.recv(99).decode()]
    server.sendall(b"answer")
    server.close()
    found["answer after half-close"] = [client.recv(99).decode(), client.recv(99).decode()]
    found["write after shutdown"] = failure(client.send, b"x")
    client.close()

    client, server = pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    found["reset"] = failure(client.recv, 1)
    client.close()

    client, server = pair()
    peer = client.getpeername()
    found["bind twice"] = failure(socket.create_server, client.getsockname())
    found["not connected"] = failure(socket.socket().getpeername)
    found["not ours"] = failure(socket.socket().bind, ("192.0.2.1", 0))
    found["no route"] = failure(socket.socket().connect, ("192.0.2.1", 80))
    found["refused"] = failure(socket.socket().connect, peer)
    found["would block"] = failure(server.recv, 1, socket.MSG_DONTWAIT)
    client.settimeout(0.05)
    began = time.monotonic()
    found["time-out"] = failure(client.recv, 1)
    found["waited"] = time.monotonic() - began >= 0.05
    client.close()
    server.close()
    return found


def tcp_info(server: socket.socket) -> tuple[int, ...]:
    """Returns a socket's state, its two first counts, and the MTU, as `struct tcp_info` has them."""
    info = server.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    assert len(info) == 104
    return (info[0], *struct.unpack_from("=II", info, 24), *struct.unpack_from("=I", info, 60))


def states() -> dict[str, Any]:
    """What TCP_INFO tells of a listener and of both ends of a connection, as it ends; and of an unknown option."""
    TCP_CONGESTION = 13
    found: dict[str, Any] = {}
    with socket.create_server((LOCALHOST, 0), backlog=5) as server, socket.socket() as other:
        found["new"] = tcp_info(other)[0]
        client = socket.create_connection(server.getsockname())
        found["listener"] = tcp_info(server)
        accepted, _ = server.accept()
        found["connected"] = tcp_info(client)
        client.shutdown(socket.SHUT_WR)
        found["half closed"] = tcp_info(client)[0], tcp_info(accepted)[0]
        found["short"] = len(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))
        accepted.close()
        client.close()
        found["unknown"] = failure(other.setsockopt, socket.IPPROTO_TCP, TCP_CONGESTION, b"cubic")
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    found["noted"] = 0
    with suppress(BlockingIOError):
        while line := os.read(log, 8192):
            found["noted"] += b"level 6, name 13, answered ENOPROTOOPT" in line
    os.close(log)
    return found


def backlog(size: int) -> dict[str, Any]:
    """Connects more than a listener takes; the rest get in as it accepts."""
    with socket.create_server((LOCALHOST, 0), backlog=size) as server:
        clients = [socket.socket() for _ in range(size + 3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        _, writable, _ = select.select([], clients, [], 0)
        accepted = [server.accept()[0] for _ in clients]
        _, at_last, _ = select.select([], clients, [], 10)
        for each in clients + accepted:
            each.close()
    return {"at once": len(writable), "at last": len(at_last)}


def readiness() -> dict[str, list[str]]:
    """What epoll says of a connection in each of its states."""
    names = ("EPOLLIN", "EPOLLOUT", "EPOLLRDHUP", "EPOLLHUP", "EPOLLERR")
    watched = sum(getattr(select, name) for name in names)
    found: dict[str, list[str]] = {}

    def note(state: str, each: socket.socket) -> None:
        with select.epoll() as epoll:
            epoll.register(each, watched)
            mask = sum(events for _, events in epoll.poll(0))
        found[state] = [name for name in names if mask & getattr(select, name)]

    note("new", socket.socket())
    client, server = pair()
    note("idle", client)
    server.send(b"x")
    note("readable", client)
    client.recv(1)
    client.setblocking(False)
    try:
        while True:
            client.send(bytes(65536))
    except BlockingIOError:
        note("full", client)
    while select.select([server], [], [], 0)[0]:
        server.recv(65536)
    note("drained", client)
    server.shutdown(socket.SHUT_WR)
    note("half closed", client)
    client.shutdown(socket.SHUT_WR)
    note("closed", client)
    return found


def woken_by(what: str) -> bool | str:
    """Has a thread wait for bytes, then makes them come, or a signal, or the end."""
    client, server = pair()
    outcome: list[Any] = []
    if what == "signal":

        def handler(*_: Any) -> None:
            raise InterruptedError

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            client.recv(1)
        except InterruptedError:
            return True
        finally:
            signal.signal(signal.SIGALRM, before)
        return False
    reader = threading.Thread(target=lambda: outcome.append(client.recv(9)))
    reader.start()
    time.sleep(0.1)
    if what == "bytes":
        server.send(b"bytes")
    elif what == "end":
        server.close()
    elif what == "own shutdown":
        client.shutdown(socket.SHUT_RD)
    reader.join(10)
    return not reader.is_alive() and outcome == [b"bytes" if what == "bytes" else b""]


def datagrams() -> dict[str, Any]:
    """UDP keeps borders, tells senders, filters for a peer."""
    found: dict[str, Any] = {}
    for family, address in ((socket.AF_INET, LOCALHOST), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as here, socket.socket(family, socket.SOCK_DGRAM) as there:
            there.bind((address, 0))
            for data in (b"one", b"", b"x" * 60000):
                here.sendto(data, there.getsockname())
            sizes = []
            for _ in range(3):
                data, sender = there.recvfrom(65536)
                sizes.append(len(data))
                assert sender[1] == here.getsockname()[1]
            found[address] = sizes
            here.connect(there.getsockname())
            there.close()
            here.send(b"to nobody")
            found[f"{address} refused"] = failure(here.send, b"x")
    return found


def asynchronous(count: int) -> int:
    """Runs so many clients of an asyncio server at once; returns how many echoes came back whole."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def ask(port: int, number: int) -> bool:
        reader, writer = await asyncio.open_connection(LOCALHOST, port)
        text = b"%d " % number * 20000
        writer.write(text)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer == text

    async def main() -> int:
        server = await asyncio.start_server(echo, LOCALHOST, 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return sum(await asyncio.gather(*(ask(port, number) for number in range(count))))

    return asyncio.run(main())


def web(requests: int) -> list[int]:
    """Serves a directory by http.server; returns the statuses of so many requests by name and address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    statuses = []
    with http.server.ThreadingHTTPServer((LOCALHOST, 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for number in range(requests):
            host = ("localhost", LOCALHOST)[number % 2]
            connection = http.client.HTTPConnection(host, server.server_port, timeout=30)
            connection.request("GET", "/" if number % 3 else "/nothing")
            statuses.append(connection.getresponse().status)
            connection.close()
        server.shutdown()
    return statuses


def resolve() -> dict[str, Any]:
    """Returns what musl's resolver finds without a name server."""
    return {
        "localhost": sorted({entry[4][0] for entry in socket.getaddrinfo("localhost", "http")}),
        "port": {entry[4][1] for entry in socket.getaddrinfo("localhost", "http")}.pop(),
        "unknown": failure(socket.getaddrinfo, "unknown.invalid", 80) is not None,
    }


def interfaces() -> dict[str, Any]:
    """What the C library and netdevice(7) tell of the interfaces."""

    def ask(request: int, name: str) -> bytes:
        with socket.socket() as each:
            return fcntl.ioctl(each, request, struct.pack("16s24x", name.encode()))[16:]

    SIOCGIFADDR, SIOCGIFFLAGS = 0x8915, 0x8913
    return {
        "names": socket.if_nameindex(),
        "number": socket.if_nametoindex("lo"),
        "name": socket.if_indextoname(1),
        "address": socket.inet_ntoa(ask(SIOCGIFADDR, "lo")[4:8]),
        "is loopback": bool(ask(SIOCGIFFLAGS, "lo")[0] & 8),
        "nobody": failure(ask, SIOCGIFADDR, "nobody"),
        "no number": failure(socket.if_indextoname, 77),
    }


def wait_for_address(peer: str) -> str:
    """Waits until packets to `peer` have an address to come from; returns it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        while True:
            try:
                probe.connect((peer, 9))
                return str(probe.getsockname()[0])
            except OSError as error:
                if error.errno != errno.ENETUNREACH:
                    raise
            time.sleep(0.01)


def there_and_back(host: str, port: int, size: int, patience: float = 30) -> bool:
    """Sends so many bytes to a server that sends them back at the end; tells whether they are the same.

    `patience` is how many seconds the sending may take in all, and each wait for what comes back.
    """
    data = os.urandom(size)
    with socket.create_connection((host, port), patience) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        back = b"".join(iter(lambda: client.recv(1 << 16), b""))
    return back == data


def ping(host: str, data: str) -> dict[str, Any]:
    """Asks for an echo by a raw socket, and watches the card meanwhile; returns what came of it."""

    def total(piece: bytes) -> int:
        words: int = sum(struct.unpack(f"!{len(piece) // 2}H", piece))
        words = (words & 0xFFFF) + (words >> 16)
        return ~((words & 0xFFFF) + (words >> 16)) & 0xFFFF

    body = struct.pack("!HH", 77, 1) + data.encode()
    request = struct.pack("!BBH", 8, 0, total(struct.pack("!BBH", 8, 0, 0) + body)) + body
    every = socket.ntohs(3)
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every) as card,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as echo,
    ):
        card.bind(("eth0", 0x800))
        card.settimeout(30)
        echo.settimeout(30)
        echo.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
        echo.sendto(request, (host, 0))
        while True:
            packet, control, _, address = echo.recvmsg(1500, 64)
            if packet[20] == 0 and packet[24:26] == body[:2]:
                break
        # Connections of before may still say goodbye.
        while not (seen := card.recvfrom(2000))[0].endswith(data.encode()):
            pass
        frame, sender = seen
    return {
        "from": address[0],
        "data": packet[28:].decode(),
        "ttl": [list(each[:2]) for each in control],
        "seen": [sender[0], sender[1], frame[12:14].hex()],
    }


def connect_failure(host: str, port: int) -> str | None:
    """Returns the name of the errno that a connection fails with."""
    return failure(lambda: socket.create_connection((host, port), 30).close())


_connecting: list[socket.socket] = []


def start_to_connect(host: str, port: int) -> None:
    """Sends the first packet of a connection."""
    _connecting.append(socket.socket())
    _connecting[-1].setblocking(False)
    _connecting[-1].connect_ex((host, port))


def is_connecting() -> bool:
    """Tells whether the connection last begun is still under way."""
    return not select.select([], [_connecting[-1]], [], 0)[1]


def end_of_connect() -> str:
    """Waits until the connection last begun has failed, or not; returns how."""
    with _connecting.pop() as client:
        select.select([], [client], [], 60)
        number = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return errno.errorcode.get(number, str(number))


def send_to_the_silent(host: str, port: int) -> str:
    """Sends to somebody who never acknowledges it, for half a second; returns how that ends."""
    TCP_USER_TIMEOUT = 18
    with socket.create_connection((host, port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, 500)
        client.sendall(b"hello?")
        return failure(client.recv, 1) or "no failure"


def watch_the_silent(host: str, port: int) -> list[Any]:
    """Connects, and has the other end be asked whether it lives; returns the options, and how the silence ends."""
    with socket.create_connection((host, port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = {socket.TCP_KEEPIDLE: 1, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 3}
        before = [client.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        for option, value in options.items():
            client.setsockopt(socket.IPPROTO_TCP, option, value)
        after = [client.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        refused = failure(client.setsockopt, socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 128)
        return [before, after, refused, failure(client.recv, 1)]


def open_clients() -> int:
    """Waits until the echo server's clients have gone, but for a minute at most; returns how many have not."""
    deadline = time.monotonic() + 60
    names: list[str] = []
    while time.monotonic() < deadline:
        names = [thread.name for thread in threading.enumerate() if "process_request" in thread.name]
        if not names:
            break
        time.sleep(0.05)
    return len(names)


_echo: list[socketserver.ThreadingTCPServer] = []


def serve_echo(port: int) -> bool:
    """Has a server, from now on, send back at once what it gets; `bye` makes it close."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                while (data := self.request.recv(1 << 16)) and data != b"bye":
                    self.request.sendall(data)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 64

    if not _echo:
        _echo.append(Server(("", port), Echo))
        threading.Thread(target=_echo[0].serve_forever, daemon=True).start()
    return True


def serve_back(port: int) -> bool:
    """Has a server of both IP versions, from now on, send back what it gets, after it has got all."""

    def serve(server: socket.socket) -> None:
        while True:
            client, _ = server.accept()
            with client:
                data = b"".join(iter(lambda: client.recv(1 << 16), b""))  # noqa: B023 - it is called before the next
                client.sendall(data)

    server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return True


def name_server() -> str:
    """Waits until a lease has told of a name server; returns the first that resolvers ask."""
    while True:
        with open("/etc/resolv.conf") as file:
            servers = [words[1] for line in file if (words := line.split())[:1] == ["nameserver"]]
        if servers and servers[0] != LOCALHOST:
            return servers[0]
        time.sleep(0.01)


def resolve_by_server(name: str, address: str) -> list[str]:
    """Plays a name server that knows one address; returns what the resolver finds, and for another name."""

    def serve(server: socket.socket) -> None:
        # A and AAAA of both names, each asked for once.
        for _ in range(4):
            query, client = server.recvfrom(512)
            end = query.index(0, 12) + 5
            is_known = query[12 : end - 5] == b"".join(bytes([len(part)]) + part for part in name.encode().split(b"."))
            answers = is_known and query[end - 4 : end - 2] == b"\0\1"
            flags = 0x8180 if is_known else 0x8183
            head = query[:2] + struct.pack("!5H", flags, 1, int(answers), 0, 0)
            record = b"\xc0\x0c" + struct.pack("!2HIH", 1, 1, 60, 4) + socket.inet_aton(address)
            server.sendto(head + query[12:end] + (record if answers else b""), client)

    with open("/etc/resolv.conf") as file:
        before = file.read()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((LOCALHOST, 53))
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        try:
            with open("/etc/resolv.conf", "w") as file:
                file.write(f"nameserver {LOCALHOST}\noptions timeout:20 attempts:1\n")
            found = [str(row[4][0]) for row in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)]
            try:
                socket.getaddrinfo("other.test", 80)
            except socket.gaierror as error:
                found.append("unknown" if error.args[0] == socket.EAI_NONAME else repr(error))
            thread.join(20)
        finally:
            with open("/etc/resolv.conf", "w") as file:
                file.write(before)
    return found


def interface(name: str) -> dict[str, Any]:
    """Returns what `_hal` tells of an interface; `left` is how many seconds its lease lasts."""
    row = next(row for row in _hal.net_interfaces() if row["name"] == name)
    if row["mac"] is not None:
        row["mac"] = row["mac"].hex(":")
    if row["lease"] is not None:
        row["lease"]["left"] = row["lease"].pop("expires") - time.monotonic()
    return dict(row)


def routes() -> list[list[str | None]]:
    """Returns the routes: destination, gateway, interface."""
    return [[row["destination"], row["gateway"], row["interface"]] for row in _hal.net_routes()]


def sockets_shown() -> list[list[Any]]:
    """Makes sockets of several kinds; returns the rows of those that `_hal` did not show before."""
    before = _hal.net_sockets()
    with (
        socket.create_server((LOCALHOST, 5000)) as server,
        socket.create_connection((LOCALHOST, 5000)) as client,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams,
    ):
        accepted, (_, port) = server.accept()
        client.sendall(b"unread")
        datagrams.bind(("::1", 5001))
        rows = [row for row in _hal.net_sockets() if row not in before]
        accepted.close()
    names = {port: "client"}

    def end(address: tuple[str, int] | None) -> list[Any] | None:
        return address and [address[0], names.get(address[1], address[1])]

    shown = [
        [row["protocol"], row["state"], end(row["local"]), end(row["remote"]), row["receive_queue"], row["send_queue"]]
        for row in rows
    ]
    return sorted(shown, key=str)


def configure(name: str, settings: dict[str, Any]) -> str | None:
    """Sets up an interface; returns what that raised."""
    try:
        _hal.net_configure(name, **settings)
    except (OSError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def waits_across_ntp(server: str, port: int, seconds: float) -> list[bool]:
    """Sets the clock by a time server while threads wait for so long; tells which waited no less, and all ended."""
    import queue

    from kernel import net

    locked = threading.Lock()
    locked.acquire()
    condition = threading.Condition()
    readable, writable = os.pipe()

    def wait_condition() -> None:
        with condition:
            condition.wait(seconds)

    def wait_queue() -> None:
        try:
            queue.Queue[int]().get(timeout=seconds)
        except queue.Empty:
            return

    waits: list[Any] = [
        lambda: locked.acquire(timeout=seconds),
        lambda: threading.Event().wait(seconds),
        wait_condition,
        wait_queue,
        lambda: select.select([readable], [], [], seconds),
        lambda: asyncio.run(asyncio.sleep(seconds)),
    ]
    taken: list[float] = [0.0] * len(waits)
    begun = threading.Barrier(len(waits) + 1)

    def measure(index: int) -> None:
        begun.wait()
        began = time.monotonic()
        waits[index]()
        taken[index] = time.monotonic() - began

    threads = [threading.Thread(target=measure, args=(index,)) for index in range(len(waits))]
    for thread in threads:
        thread.start()
    begun.wait()
    began = time.monotonic()
    # Most of them wait by then.
    time.sleep(seconds / 4)
    net.ntp(server, port=port)
    for thread in threads:
        thread.join()
    os.close(readable)
    os.close(writable)
    # asyncio's sleep may end by the resolution of the clock too early.
    return [each >= seconds - 0.001 for each in taken] + [time.monotonic() - began < 3600]
