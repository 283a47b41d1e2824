"""Two machines on one wire, which loses frames: what is sent arrives whole all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.machines import Machines, Shape
from harness.serial import Guest
from harness.wires import Wire

#: The addresses of both machines, in each version.
ADDRESSES = [("10.1.0.1", "fd00::1"), ("10.1.0.2", "fd00::2")]
#: Where the second machine sends back what it gets.
PORT = 7
LOSS = 0.05


@pytest.fixture(scope="module")
def wired(machines: Machines) -> Iterator[tuple[Wire, list[Guest]]]:
    """Two machines with addresses set by hand."""
    # A card of the second one on arm64 is on no bus.
    cards = ["virtio-net-pci", "virtio-net-device" if machines.settings.arch == "arm64" else "virtio-net-pci"]
    machines.close()
    with Wire(LOSS, seed=5) as wire:
        shapes = [Shape(cpus=2, memory="512M"), Shape(cpus=1, memory="512M")]
        devices = [
            ("virtio-rng-pci", f"{card},netdev=wire,mac=52:54:00:00:00:0{end + 1}") for end, card in enumerate(cards)
        ]
        with (
            machines.guest(shapes[0], devices=devices[0], networks=[wire.network(0)]) as first,
            machines.guest(shapes[1], devices=devices[1], networks=[wire.network(1)]) as second,
        ):
            for guest, (v4, v6) in zip((first, second), ADDRESSES, strict=True):
                settings = {"dhcp": False, "addresses": [f"{v4}/24", f"{v6}/64"]}
                assert guest.call("network.configure", "eth0", settings) is None
            assert second.call("network.serve_back", PORT) is True
            assert second.call("datagrams.serve_datagrams", PORT) is True
            yield wire, [first, second]


@pytest.mark.parametrize(("version", "size"), [(0, 512 << 10), (1, 64 << 10)], ids=["IPv4", "IPv6"])
def test_what_is_lost_is_sent_again(wired: tuple[Wire, list[Guest]], version: int, size: int) -> None:
    wire, (first, _) = wired
    before = sum(wire.lost)
    assert first.call("network.there_and_back", ADDRESSES[1][version], PORT, size, 200, timeout=240) is True
    # Twice so many bytes in frames of 1,514: some of them did get lost.
    frames = 2 * size // 1460
    assert sum(wire.lost) - before > frames * LOSS / 2


def test_what_arrives_is_what_was_sent_but_for_the_lost(wired: tuple[Wire, list[Guest]]) -> None:
    wire, guests = wired
    rows = [guest.call("network.interface", "eth0") for guest in guests]
    for row in rows:
        assert row["rx_errors"] == row["tx_errors"] == 0
    # The wire lost many of the frames, and the machines none that it did not.
    assert rows[1]["rx_packets"] <= rows[0]["tx_packets"] - wire.lost[0] // 2
    assert rows[0]["rx_packets"] <= rows[1]["tx_packets"] - wire.lost[1] // 2


@contextmanager
def lossless(wire: Wire) -> Iterator[None]:
    """Has nothing get lost for a while: nobody sends a datagram again."""
    wire.loss = 0
    try:
        yield
    finally:
        wire.loss = LOSS


@pytest.mark.parametrize("version", [0, 1], ids=["IPv4", "IPv6"])
def test_datagrams_longer_than_a_frame_arrive_whole(wired: tuple[Wire, list[Guest]], version: int) -> None:
    wire, (first, _) = wired
    other = ADDRESSES[1][version]
    # The longest that goes in one frame, one more, what takes three, and the longest of all.
    in_one, longest = (1472, 65507) if version == 0 else (1452, 65487)
    sizes = [in_one, in_one + 1, 3000, longest]
    with lossless(wire):
        before = wire.carried[0]
        assert first.call("datagrams.come_back", other, PORT, sizes, timeout=240) == sizes
        # So many frames, and somebody may have asked for an Ethernet address.
        least = 1 + 2 + 3 + -(-longest // 1480)
        assert least <= wire.carried[0] - before <= least + 8
        assert first.call("datagrams.long_ping", other, 20001, timeout=60) is True
        assert first.call("datagrams.whole_only", other, PORT, in_one + 1, timeout=60) == {
            "at first": 1,
            "no peer": "ENOTCONN",
            "mtu": 1500,
            "whole": "EMSGSIZE",
            "cut up": in_one + 1,
        }
