"""A virtio card: an address by DHCP, connections out of the machine and into it."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from harness.machines import Machines, Shape
from harness.serial import Guest

MEBIBYTE = 1 << 20
#: Where QEMU's network shows the host to the machine.
HOST = "10.0.2.2"
#: A port of the machine that the host's `forwarded` leads to.
SERVED = 7


@pytest.fixture(scope="module")
def forwarded() -> int:
    """A port of the host that is free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture(scope="module", params=[1, 2])
def connected(machines: Machines, forwarded: int, request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A machine with a card."""
    machines.close()
    with machines.guest(Shape(cpus=request.param), forwards={forwarded: SERVED}) as guest:
        yield guest


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A port of the host where each client gets back what it has sent, after it has sent all."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                data = bytearray()
                while piece := client.recv(1 << 16):
                    data += piece
                client.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    with closing(server):
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_the_network_gives_an_address(connected: Guest) -> None:
    assert connected.call("network.wait_for_address", HOST) == "10.0.2.15"
    assert re.search(r"INFO kernel\.net: eth0: 10\.0\.2\.15/24 by DHCP", connected.console.text())


def test_the_lease_tells_of_a_name_server(connected: Guest) -> None:
    assert connected.call("network.name_server") == "10.0.2.3"


def test_what_is_sent_out_comes_back_whole(connected: Guest, echo_port: int) -> None:
    connected.call("network.wait_for_address", HOST)
    assert connected.call("network.there_and_back", HOST, echo_port, 2 * MEBIBYTE, timeout=60) is True
    assert connected.call("network.there_and_back", HOST, echo_port, 1, timeout=60) is True


def test_nobody_there_is_an_error(connected: Guest, forwarded: int) -> None:
    connected.call("network.wait_for_address", HOST)
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    assert connected.call("network.connect_failure", HOST, closed) == "ECONNREFUSED"


def test_clients_outside_are_served(connected: Guest, forwarded: int) -> None:
    connected.call("network.wait_for_address", HOST)
    assert connected.call("network.serve_echo", SERVED) is True
    for size in 1, 1000, MEBIBYTE:
        data = os.urandom(size)
        with socket.create_connection(("127.0.0.1", forwarded), 30) as client:
            sender = threading.Thread(target=lambda client, data: client.sendall(data), args=(client, data))
            sender.start()
            received = hashlib.sha256()
            count = 0
            while count < size:
                piece = client.recv(1 << 16)
                assert piece, f"the machine closed after {count} bytes of {size}"
                received.update(piece)
                count += len(piece)
            sender.join()
        assert received.digest() == hashlib.sha256(data).digest()


def test_a_raw_socket_pings_and_a_packet_socket_sees_it(connected: Guest) -> None:
    connected.call("network.wait_for_address", HOST)
    assert connected.call("network.ping", HOST, "round trip", timeout=60) == {
        "from": HOST,
        "data": "round trip",
        "ttl": [[0, 2]],
        "seen": ["eth0", 0x800, "0800"],
    }


def test_many_clients_at_once_are_kept_apart(connected: Guest, forwarded: int) -> None:
    connected.call("network.wait_for_address", HOST)
    connected.call("network.serve_echo", SERVED)
    words = [os.urandom(16) for _ in range(32)]
    clients = [socket.create_connection(("127.0.0.1", forwarded), 30) for _ in words]
    for client, word in zip(clients, words, strict=True):
        client.sendall(word)
    for client, word in zip(clients, words, strict=True):
        assert client.recv(16, socket.MSG_WAITALL) == word
        client.close()


def test_an_interface_is_shown_and_counts(connected: Guest, echo_port: int) -> None:
    connected.call("network.wait_for_address", HOST)
    before = connected.call("network.interface", "eth0")
    assert before["index"] == 2 and before["mtu"] == 1500 and before["up"] is True
    assert re.fullmatch("52:54:00(:[0-9a-f]{2}){3}", before["mac"])
    assert "10.0.2.15/24" in before["addresses"]
    assert before["dhcp"] is True
    lease = before["lease"]
    assert (lease["server"], lease["router"], lease["name_servers"]) == (HOST, HOST, ["10.0.2.3"])
    # What QEMU gives lasts a day.
    assert 86000 < lease["left"] <= 86400
    connected.call("network.there_and_back", HOST, echo_port, MEBIBYTE, timeout=60)
    after = connected.call("network.interface", "eth0")
    for way in "rx", "tx":
        grown = {what: after[f"{way}_{what}"] - before[f"{way}_{what}"] for what in ("bytes", "packets", "errors", "dropped")}
        # All bytes, in frames of 1,514 at most, and acknowledgements of those that go the other way.
        assert MEBIBYTE < grown["bytes"] < 2 * MEBIBYTE
        assert grown["packets"] >= MEBIBYTE // 1460
        assert grown["errors"] == grown["dropped"] == 0


def test_an_interface_is_set_up_by_hand(connected: Guest) -> None:
    connected.call("network.wait_for_address", HOST)
    assert connected.call("network.configure", "eth9", {}) == "OSError: [Errno 19] there is no such interface"
    assert str(connected.call("network.configure", "eth0", {"addresses": ["10.0.2.300/24"]})).startswith("ValueError")
    assert connected.call("network.configure", "eth0", {"gateway": "192.0.2.1"}).startswith("OSError: [Errno 101]")
    assert connected.call("network.configure", "eth0", {"dhcp": False}) is None
    kept = connected.call("network.interface", "eth0")
    assert "10.0.2.15/24" in kept["addresses"] and kept["dhcp"] is False and kept["lease"] is None
    settings = {"addresses": ["10.0.2.77/24", "10.9.0.1/16"], "gateway": "10.0.2.2"}
    assert connected.call("network.configure", "eth0", settings) is None
    assert connected.call("network.wait_for_address", HOST) == "10.0.2.77"
    assert connected.call("network.wait_for_address", "10.9.9.9") == "10.9.0.1"
    routes = connected.call("network.routes")
    assert ["0.0.0.0/0", "10.0.2.2", "eth0"] in routes and ["10.9.0.0/16", None, "eth0"] in routes
    assert connected.call("network.configure", "eth0", {"up": False}) is None
    assert not [route for route in connected.call("network.routes") if route[2] == "eth0"]
    assert connected.call("network.configure", "eth0", {"up": True, "dhcp": True, "addresses": []}) is None
    assert connected.call("network.wait_for_address", HOST) == "10.0.2.15"
