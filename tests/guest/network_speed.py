"""How fast the network is: the guest's half of what `make bench` measures of it.

`network_speed.py port repeats [name...]` talks to `bench/peer.py` on the host of QEMU's user network and prints one line
per figure, `@figure {json}`, and `@end`. Like benchmarks.py it needs nothing but CPython 3.14.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

#: Where QEMU's user network shows its host.
HOST = "10.0.2.2"
MIB = 1 << 20
#: How much is moved for one figure.
SIZE = 100 * MIB
#: How much is sent by one call.
PIECE = MIB
REQUESTS = 1000
REQUEST_BYTES = 64


class Corrupted(Exception):
    """What arrived is not what was sent."""


def pattern(size: int) -> bytearray:
    """Returns that many bytes that no two pieces of it share."""
    data = bytearray(os.urandom(PIECE) * (size // PIECE))
    for at in range(0, size, PIECE):
        data[at : at + 8] = at.to_bytes(8)
    return data


def receive_all(connection: socket.socket, data: bytearray) -> None:
    """Fills `data` with what arrives."""
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise Corrupted(f"{len(view)} bytes are missing")
        view = view[count:]


def check(data: bytearray, digest: bytes) -> None:
    """Raises `Corrupted` unless the data has this SHA-256, in hexadecimal digits."""
    if hashlib.sha256(data).hexdigest().encode() != digest:
        raise Corrupted("another SHA-256")


def dial(port: int, request: str) -> socket.socket:
    """Connects to the peer and tells it what to do."""
    # Not by `create_connection`: for names it wants the codec idna, which a small system may leave out.
    connection = socket.socket()
    connection.connect((HOST, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(request.encode() + b"\n")
    return connection


def receive(port: int) -> float:
    """Receives from the host; in MiB a second."""
    data = bytearray(SIZE)
    with dial(port, f"send {SIZE}") as connection:
        began = time.perf_counter()
        receive_all(connection, data)
        taken = time.perf_counter() - began
        digest = bytearray(64)
        receive_all(connection, digest)
    check(data, bytes(digest))
    return SIZE / MIB / taken


def send(port: int) -> float:
    """Sends to the host, until it has got everything; in MiB a second."""
    data = pattern(SIZE)
    with dial(port, f"receive {SIZE}") as connection:
        began = time.perf_counter()
        for at in range(0, SIZE, PIECE):
            connection.sendall(memoryview(data)[at : at + PIECE])
        receive_all(connection, bytearray(1))
        taken = time.perf_counter() - began
        digest = bytearray(64)
        receive_all(connection, digest)
    check(data, bytes(digest))
    return SIZE / MIB / taken


def ask(port: int) -> float:
    """Sends a short request and waits for its answer, again and again; in answers a second."""
    request = os.urandom(REQUEST_BYTES)
    answer = bytearray(REQUEST_BYTES)
    with dial(port, "echo") as connection:
        began = time.perf_counter()
        for _ in range(REQUESTS):
            connection.sendall(request)
            receive_all(connection, answer)
        taken = time.perf_counter() - began
    if answer != request:
        raise Corrupted("another answer")
    return REQUESTS / taken


def loop_back(port: int) -> float:
    """Sends to a thread of this program; in MiB a second."""
    data, received = pattern(SIZE), bytearray(SIZE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.socket()
        sender.connect(listener.getsockname())
        receiver, _ = listener.accept()
    with sender, receiver:
        thread = threading.Thread(target=receive_all, args=(receiver, received))
        began = time.perf_counter()
        thread.start()
        for at in range(0, SIZE, PIECE):
            sender.sendall(memoryview(data)[at : at + PIECE])
        thread.join()
        taken = time.perf_counter() - began
    if received != data:
        raise Corrupted("loopback")
    return SIZE / MIB / taken


#: Name, unit, function. Names are stable: results are compared by them.
FIGURES: list[tuple[str, str, Callable[[int], float]]] = [
    ("net_receive", "MiB/s", receive),
    ("net_send", "MiB/s", send),
    ("net_requests", "1/s", ask),
    ("net_loopback", "MiB/s", loop_back),
]


def wait_for_network() -> None:
    """Waits until packets to the host have a way, which DHCP may have to find first."""
    while True:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((HOST, 9))
            return
        except OSError:
            time.sleep(0.05)


def main(argv: list[str]) -> None:
    """Prints every figure."""
    port, repeats, names = int(argv[1]), int(argv[2]), set(argv[3:])
    wait_for_network()
    for name, unit, function in FIGURES:
        if names and name not in names:
            continue
        values = [round(function(port), 6) for _ in range(repeats)]
        line = json.dumps({"name": name, "unit": unit, "values": values})
        sys.stdout.write(f"@figure {line}\n")
        sys.stdout.flush()
    sys.stdout.write("@end\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv)
