"""Datagrams of UDP and raw sockets that are longer than a card's frames."""

from __future__ import annotations

import errno
import os
import queue
import socket
import struct
import threading
from typing import Any

#: Options that CPython does not name (ip(7), ipv6(7)).
IP_MTU_DISCOVER, IP_MTU, IPV6_MTU_DISCOVER, IPV6_MTU = 10, 14, 23, 24
PMTUDISC_WANT, PMTUDISC_DO = 1, 2


def serve_datagrams(port: int) -> bool:
    """Has a server of both IP versions, from now on, send back each datagram that it gets."""

    def serve(server: socket.socket) -> None:
        while True:
            data, client = server.recvfrom(1 << 16)
            server.sendto(data, client)

    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return True


def come_back(host: str, port: int, sizes: list[int]) -> list[int]:
    """Sends datagrams to a server that sends them back; returns the sizes of those that are the same."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.connect((host, port))
        client.settimeout(60)
        same = []
        for size in sizes:
            data = os.urandom(size)
            client.send(data)
            if client.recv(1 << 16) == data:
                same.append(size)
    return same


def whole_only(host: str, port: int, size: int) -> dict[str, Any]:
    """Sends a datagram that may not be cut up, then one that may; tells how each ended."""
    if ":" in host:
        family, level, discover, mtu = socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU
    else:
        family, level, discover, mtu = socket.AF_INET, socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU
    found: dict[str, Any] = {}
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        found["at first"] = client.getsockopt(level, discover)
        try:
            client.getsockopt(level, mtu)
        except OSError as error:
            found["no peer"] = errno.errorcode[error.errno or 0]
        client.connect((host, port))
        found["mtu"] = client.getsockopt(level, mtu)
        client.setsockopt(level, discover, PMTUDISC_DO)
        try:
            client.send(bytes(size))
        except OSError as error:
            found["whole"] = errno.errorcode[error.errno or 0]
        client.setsockopt(level, discover, PMTUDISC_WANT)
        found["cut up"] = client.send(bytes(size))
    return found


def long_ping(host: str, size: int) -> bool:
    """Asks for an echo of so many bytes by a raw socket; tells whether they came back."""
    data = os.urandom(size)
    kind, answer = (128, 129) if ":" in host else (8, 0)
    body = struct.pack("!HH", 77, 1) + data
    total = 0
    if ":" not in host:
        words = struct.pack("!BBH", kind, 0, 0) + body + bytes(len(body) % 2)
        total = sum(struct.unpack(f"!{len(words) // 2}H", words))
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if ":" in host else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    with socket.socket(family, socket.SOCK_RAW, protocol) as echo:
        echo.settimeout(60)
        echo.sendto(struct.pack("!BBH", kind, 0, total) + body, (host, 0))
        while True:
            packet = echo.recv(1 << 16)
            message = packet if ":" in host else packet[20:]
            if message[0] == answer and message[4:8] == body[:4]:
                return message[8:] == data


_heard: queue.SimpleQueue[int] = queue.SimpleQueue()


def count_datagrams(port: int) -> bool:
    """Notes, from now on, the size of each datagram that comes to a port."""

    def serve(server: socket.socket) -> None:
        while True:
            _heard.put(len(server.recv(1 << 16)))

    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", port))
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return True


def heard_until(size: int) -> list[int]:
    """Waits for a datagram of such a size; returns the sizes of it and of those before."""
    found = [_heard.get(timeout=50)]
    while found[-1] != size:
        found.append(_heard.get(timeout=50))
    return found
