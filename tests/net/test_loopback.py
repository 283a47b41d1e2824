"""TCP and UDP between two sockets of one machine behave as on Linux."""

from __future__ import annotations

import pytest

from harness.machines import Machines, Shape
from harness.serial import Guest


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_ten_mebibytes_arrive_whole(machines: Machines, cpus: int, address: str) -> None:
    guest = machines.shared(Shape(cpus=cpus))
    result = guest.call("network.transfer", 10, address, timeout=120)
    assert result == {"count": 10 << 20, "is_same": True}


def test_a_hundred_connections_at_once_are_kept_apart(guest: Guest) -> None:
    assert guest.call("network.many_at_once", 100, timeout=120) == 100


def test_a_thousand_connections_in_a_row_leave_nothing_behind(guest: Guest) -> None:
    lost = guest.call("network.open_and_close", 1000, timeout=120)
    assert lost["descriptors"] == 0
    # One connection alone has 256 KiB of buffers.
    assert lost["kib"] < 1024


def test_connections_end_and_fail_as_on_linux(guest: Guest) -> None:
    assert guest.call("network.ends", timeout=60) == {
        "read to the end": ["question", ""],
        "answer after half-close": ["answer", ""],
        "write after shutdown": "EPIPE",
        "reset": "ECONNRESET",
        "bind twice": "EADDRINUSE",
        "not connected": "ENOTCONN",
        "not ours": "EADDRNOTAVAIL",
        "no route": "ENETUNREACH",
        "refused": "ECONNREFUSED",
        "would block": "EAGAIN",
        "time-out": "TimeoutError('timed out')",
        "waited": True,
    }


def test_tcp_info_tells_the_state(guest: Guest) -> None:
    assert guest.call("network.states", timeout=60) == {
        "new": 7,
        "listener": [10, 1, 5, 0],
        "connected": [1, 0, 0, 65535],
        "half closed": [5, 8],
        "short": 1,
        "unknown": "ENOPROTOOPT",
        "noted": 1,
    }


def test_a_full_backlog_makes_the_rest_wait(guest: Guest) -> None:
    # As Linux counts: one more than the backlog.
    assert guest.call("network.backlog", 4, timeout=60) == {"at once": 5, "at last": 7}


def test_epoll_knows_every_state(guest: Guest) -> None:
    assert guest.call("network.readiness", timeout=60) == {
        "new": ["EPOLLOUT", "EPOLLHUP"],
        "idle": ["EPOLLOUT"],
        "readable": ["EPOLLIN", "EPOLLOUT"],
        "full": [],
        "drained": ["EPOLLOUT"],
        "half closed": ["EPOLLIN", "EPOLLOUT", "EPOLLRDHUP"],
        "closed": ["EPOLLIN", "EPOLLOUT", "EPOLLRDHUP", "EPOLLHUP"],
    }


@pytest.mark.parametrize("what", ["bytes", "end", "own shutdown", "signal"])
def test_a_reader_that_sleeps_is_woken_by(guest: Guest, what: str) -> None:
    assert guest.call("network.woken_by", what, timeout=60) is True


def test_datagrams_keep_their_borders(guest: Guest) -> None:
    assert guest.call("network.datagrams", timeout=60) == {
        "127.0.0.1": [3, 0, 60000],
        "127.0.0.1 refused": "ECONNREFUSED",
        "::1": [3, 0, 60000],
        "::1 refused": "ECONNREFUSED",
    }


def test_stock_asyncio_serves_fifty_clients(guest: Guest) -> None:
    assert guest.call("network.asynchronous", 50, timeout=120) == 50


def test_stock_http_server_answers(guest: Guest) -> None:
    assert guest.call("network.web", 6, timeout=120) == [404, 200, 200, 404, 200, 200]


def test_a_name_server_is_asked(guest: Guest) -> None:
    assert guest.call("network.resolve_by_server", "host.test", "192.0.2.7", timeout=60) == ["192.0.2.7", "unknown"]


def test_sockets_are_shown(guest: Guest) -> None:
    assert guest.call("network.sockets_shown", timeout=60) == [
        ["tcp", "ESTABLISHED", ["127.0.0.1", "client"], ["127.0.0.1", 5000], 0, 0],
        ["tcp", "ESTABLISHED", ["127.0.0.1", 5000], ["127.0.0.1", "client"], 6, 0],
        ["tcp", "LISTEN", ["127.0.0.1", 5000], None, 0, 128],
        ["udp6", "", ["::1", 5001], None, 0, 0],
    ]


def test_localhost_has_both_addresses_without_a_name_server(guest: Guest) -> None:
    assert guest.call("network.resolve", timeout=60) == {
        "localhost": ["127.0.0.1", "::1"],
        "port": 80,
        "unknown": True,
    }


def test_the_loopback_interface_has_a_name_a_number_and_an_address(guest: Guest) -> None:
    assert guest.call("network.interfaces", timeout=60) == {
        "names": [[1, "lo"]],
        "number": 1,
        "name": "lo",
        "address": "127.0.0.1",
        "is loopback": True,
        "nobody": "ENODEV",
        "no number": "ENXIO",
    }
