"""Whatever comes over the wire, the machine stays up, answers, and keeps none of it."""

from __future__ import annotations

import itertools
import random
import struct
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from harness import qemu
from harness.machines import Machines, Shape
from harness.serial import Guest
from net import frames
from net.frames import ACK, FIN, PSH, ROUTER, RST, STRANGER, SYN, Segment, Wire

#: A port of the machine where what comes is sent back.
ECHO = 7
#: A port of the machine where datagrams are counted.
COUNTER = 8
#: The flag of an IPv4 fragment that is not the last.
MORE = 0x2000
#: Frames on their way at a time: the machine's card has room for so many answers, and some more.
BURST = 16
#: What a machine may have less afterwards.
SLACK_KIB = 1024

_ports = itertools.count(20000)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """The network behind the machine's card."""
    with closing(Wire()) as wire:
        yield wire


@pytest.fixture(scope="module")
def attacked(machines: Machines, wire: Wire) -> Iterator[Guest]:
    """A machine on the wire, with a server and an address."""
    machines.close()
    binary = qemu.BINARIES[machines.settings.arch]
    with machines.guest(Shape(), qemu=(binary, *wire.arguments())) as guest:
        # The two requests of a lease, and somebody who asks who the machine is.
        wire.wait(lambda packet: packet[9] == frames.UDP and b"\x35\x01\x03" in packet)
        guest.call("network.wait_for_address", ROUTER)
        guest.call("network.serve_echo", ECHO)
        guest.call("datagrams.count_datagrams", COUNTER)
        yield guest


@pytest.fixture(autouse=True)
def unharmed(attacked: Guest, wire: Wire) -> Iterator[None]:
    """Compares the machine before and after."""
    talk(wire)
    before = attacked.call("network.settled_kib", 0, SLACK_KIB)
    yield
    assert attacked.call("agent.echo", "prompt", timeout=60) == "prompt"
    talk(wire)
    after = attacked.call("network.settled_kib", before, SLACK_KIB, timeout=120)
    assert before - after < SLACK_KIB


class Client:
    """A TCP client that does as it is told."""

    def __init__(self, wire: Wire, source: str = ROUTER, window: int = 65535) -> None:
        self.wire = wire
        self.source = source
        self.ports = next(_ports), ECHO
        self.seq = 1000
        self.ack = 0
        self.window = window

    def send(self, flags: int, data: bytes = b"") -> None:
        """Sends a segment."""
        segment = frames.tcp(self.source, self.ports, flags, self.seq, self.ack, data, self.window)
        self.seq += len(data) + bool(flags & SYN) + bool(flags & FIN)
        self.wire.packets(segment)

    def expect(self, flags: int) -> Segment:
        """Waits for a segment with such flags; what it takes up is acknowledged by the next one sent."""

        def is_it(segment: Segment) -> bool:
            return segment.dport == self.ports[0] and segment.flags & flags == flags

        segment = self.wire.segment(is_it)
        self.ack = segment.end
        return segment

    def open(self) -> Client:
        """Connects."""

        def answer(packet: bytes) -> Segment | None:
            if packet[9] != frames.TCP or Segment(packet).dport != self.ports[0]:
                return None
            return Segment(packet)

        # As any client does, this one asks again where nobody answers.
        found = None
        while found is None:
            self.send(SYN)
            self.seq -= 1
            found = self.wire.look(answer, 1.0)
        assert found.flags == SYN | ACK
        self.seq, self.ack = self.seq + 1, found.end
        self.send(ACK)
        return self

    def reset(self) -> None:
        """Breaks the connection off; the machine has heard it."""
        self.send(RST | ACK)
        self.wire.ping()


def talk(wire: Wire) -> None:
    """Has the machine's server answer, as anybody else would."""
    client = Client(wire).open()
    client.send(PSH | ACK, b"hello")
    answer = wire.segment(lambda segment: segment.dport == client.ports[0] and segment.data == b"hello")
    client.ack = answer.end
    client.send(FIN | ACK)
    client.expect(FIN)
    client.send(ACK)
    wire.ping()


def test_a_port_scan_finds_what_is_open(wire: Wire) -> None:
    answers = {}
    for first in range(1, 1025, BURST):
        ports = range(first, first + BURST)
        source = next(_ports)
        wire.packets(*(frames.tcp(STRANGER, (source, port), SYN, 5) for port in ports))
        # The machine may say the same again before it is read.
        while not answers.keys() >= set(ports):
            segment = wire.segment(lambda segment, source=source: segment.dport == source)
            answers[segment.sport] = segment.flags
        wire.packets(frames.tcp(STRANGER, (source, ECHO), RST, 6))
    assert answers.pop(ECHO) == SYN | ACK
    assert set(answers.values()) == {RST | ACK}
    assert len(answers) == 1023
    # The other scans: no flags, all flags, FIN alone.
    for flags in 0, FIN | PSH | 32, FIN, ACK, SYN | FIN, SYN | RST:
        wire.packets(*(frames.tcp(STRANGER, (next(_ports), port), flags, 5, 6) for port in (ECHO, 9)))
        wire.ping()


def test_a_flood_of_syns_leaves_room_for_others(attacked: Guest, wire: Wire) -> None:
    numbers = itertools.count()
    for _ in range(0, 10000, BURST):
        syns = []
        for number in itertools.islice(numbers, BURST):
            source = f"198.18.{number >> 8 & 255}.{number & 255}"
            syns.append(frames.tcp(source, (1024 + number, ECHO), SYN, number * 77))
        wire.packets(*syns)
        wire.ping()
    # All of a flood's places are taken.
    client = Client(wire).open()
    client.send(PSH | ACK, b"through")
    assert wire.segment(lambda segment: segment.dport == client.ports[0] and bool(segment.data)).data == b"through"
    client.reset()


def test_a_reset_ends_a_connection_in_every_state(attacked: Guest, wire: Wire) -> None:
    # SYN-SENT: the machine calls, nobody is there.
    attacked.call("network.start_to_connect", ROUTER, 99)
    syn = wire.segment(lambda segment: segment.dport == 99)
    # A reset without the right acknowledgement is somebody else's (RFC 9293, 3.10.7.3).
    wire.packets(frames.tcp(ROUTER, (99, syn.sport), RST, 0), frames.tcp(ROUTER, (99, syn.sport), RST | ACK, 0, 5))
    wire.ping()
    assert attacked.call("network.is_connecting") is True
    wire.packets(frames.tcp(ROUTER, (99, syn.sport), RST | ACK, 0, syn.end))
    assert attacked.call("network.end_of_connect") == "ECONNREFUSED"
    # SYN-RECEIVED.
    client = Client(wire)
    client.send(SYN)
    client.expect(SYN | ACK)
    client.send(RST)
    wire.ping()
    # ESTABLISHED, without and with bytes on their way.
    Client(wire).open().reset()
    client = Client(wire).open()
    client.send(PSH | ACK, b"x")
    client.reset()
    # CLOSE-WAIT and LAST-ACK: the machine's server closes when its client does.
    client = Client(wire).open()
    client.send(FIN | ACK)
    client.reset()
    client = Client(wire).open()
    client.send(FIN | ACK)
    client.expect(FIN)
    client.reset()
    # FIN-WAIT-1, FIN-WAIT-2, CLOSING, TIME-WAIT: the machine closes first.
    for state in range(4):
        client = Client(wire).open()
        client.send(PSH | ACK, b"bye")
        client.expect(FIN)
        if state == 1:
            client.send(ACK)
        elif state == 2:
            # It has not heard that its own FIN came.
            client.ack -= 1
            client.send(FIN | ACK)
        elif state == 3:
            client.send(FIN | ACK)
        wire.ping()
        client.reset()
    assert attacked.call("network.open_clients") == 0


def test_a_server_that_falls_silent_is_given_up(attacked: Guest, wire: Wire) -> None:
    answers: list[str] = []
    call = threading.Thread(target=lambda: answers.append(attacked.call("network.send_to_the_silent", ROUTER, 98)))
    call.start()
    syn = wire.segment(lambda segment: segment.dport == 98)
    wire.packets(frames.tcp(ROUTER, (98, syn.sport), SYN | ACK, 7, syn.end))
    assert wire.segment(lambda segment: segment.dport == 98 and bool(segment.data)).data == b"hello?"
    call.join()
    assert answers == ["ETIMEDOUT"]


def test_a_server_that_does_not_say_that_it_lives_is_given_up(attacked: Guest, wire: Wire) -> None:
    answers: list[list[object]] = []
    call = threading.Thread(target=lambda: answers.append(attacked.call("network.watch_the_silent", ROUTER, 97)))
    call.start()
    syn = wire.segment(lambda segment: segment.dport == 97)
    wire.packets(frames.tcp(ROUTER, (97, syn.sport), SYN | ACK, 7, syn.end))

    # A question has the number of a byte that was acknowledged before. The first is answered.
    wire.segment(lambda segment: segment.dport == 97 and segment.flags == ACK and segment.seq == syn.seq)
    wire.packets(frames.tcp(ROUTER, (97, syn.sport), ACK, 8, syn.end))
    # As many as the option says are not, and then a reset goes out; the answer may have been late for two more.
    silence: list[Segment] = []
    while not silence or not silence[-1].flags & RST:
        silence.append(wire.segment(lambda segment: segment.dport == 97))
    assert {segment.seq for segment in silence[:-1]} == {syn.seq}
    assert 3 <= len(silence[:-1]) <= 5
    call.join()
    assert answers == [[[7200, 75, 9], [1, 2, 3], "EINVAL", "ETIMEDOUT"]]


def test_a_client_that_reads_nothing_holds_up_nobody(attacked: Guest, wire: Wire) -> None:
    idle = Client(wire, window=0).open()
    for _ in range(4):
        idle.send(PSH | ACK, bytes(1000))
    for _ in range(3):
        talk(wire)
    idle.reset()


def test_a_client_that_sends_byte_by_byte_is_served(wire: Wire) -> None:
    client = Client(wire).open()
    sent = bytes(range(64))
    got = b""
    for byte in sent:
        client.send(PSH | ACK, bytes([byte]))
        while len(got) <= sent.index(byte):
            segment = client.wire.segment(lambda segment: segment.dport == client.ports[0] and bool(segment.data))
            if segment.seq == client.ack:
                got, client.ack = got + segment.data, segment.end
    assert got == sent
    client.reset()


def test_connections_that_are_never_finished_are_forgotten(attacked: Guest, wire: Wire) -> None:
    for number in range(200):
        wire.packets(frames.tcp(f"198.19.0.{number}", (number + 1, ECHO), SYN, 9))
    wire.ping()


def test_frames_that_make_no_sense_are_dropped(wire: Wire) -> None:
    chance = random.Random(5)
    packets = [
        frames.echo_request(1, b"data" * 8),
        frames.tcp(ROUTER, (1, ECHO), SYN, 1),
        frames.tcp(ROUTER, (1, ECHO), ACK | PSH, 1, 2, b"data" * 8),
        frames.udp(ROUTER, (1, 9), b"data" * 8),
    ]
    sound = [frames.ethernet(packet) for packet in packets]
    addresses = (frames.OURS, b"\x0a\0\2\2", bytes(6), b"\x0a\0\2\x0f")
    sound.append(frames.ethernet(struct.pack("!HHBBH6s4s6s4s", 1, frames.IPV4, 6, 4, 1, *addresses), frames.ARP))
    wrong = []
    for frame in sound:
        # Headers cut off anywhere, whatever their length fields say.
        wrong += [frame[:length] for length in range(1, len(frame))]
        # Bits turned over: checksums no longer fit, or fields say something else.
        for _ in range(100):
            at = chance.randrange(12, len(frame))
            wrong.append(frame[:at] + bytes([frame[at] ^ 1 << chance.randrange(8)]) + frame[at + 1 :])
    # Other protocols, no protocol at all, and frames longer than any on Ethernet.
    for kind in (0, frames.IPV4, frames.ARP, 0x86DD, 0x8100, 0xFFFF):
        wrong += [frames.ethernet(chance.randbytes(chance.randrange(1500)), kind) for _ in range(10)]
    wrong += [frames.ethernet(bytes(length)) for length in (1501, 2000, 2048, 2100, 4000, 9000, 65000)]
    wrong += [frames.ethernet(frames.echo_request(2, bytes(length))) for length in (1473, 2000, 8000)]
    for first in range(0, len(wrong), BURST):
        wire.send(*wrong[first : first + BURST])
        wire.ping()


def test_fragments_are_kept_by_nobody(wire: Wire) -> None:
    whole = frames.tcp(ROUTER, (1, ECHO), SYN, 1)[20:]
    for number in range(500):
        packets = (
            # The first part of much; a last part alone; parts that lie over each other; one that ends past 64 KiB.
            frames.ip(ROUTER, frames.UDP, bytes(1480), fragment=MORE, number=number),
            frames.ip(STRANGER, frames.UDP, bytes(100), fragment=185, number=number),
            frames.ip(ROUTER, frames.TCP, whole, fragment=MORE, number=number),
            frames.ip(ROUTER, frames.TCP, whole[8:], fragment=0x2001, number=number),
            frames.ip(ROUTER, frames.ICMP, bytes(1480), fragment=0x1FFF, number=number),
        )
        wire.packets(*packets)
        if number % 12 == 0:
            wire.ping()
    wire.ping()


def pieces(data: bytes, number: int, cuts: list[int], source: str = ROUTER) -> list[bytes]:
    """Cuts a datagram to the machine's counter of datagrams at these places."""
    whole = frames.udp(source, (1, COUNTER), data)[20:]
    ends = [*cuts, len(whole)]
    found = []
    for start, end in zip([0, *cuts], ends, strict=True):
        place = start // 8 | (MORE if end < len(whole) else 0)
        found.append(frames.ip(source, frames.UDP, whole[start:end], fragment=place, number=number))
    return found


def test_fragments_make_a_packet_or_nothing(attacked: Guest, wire: Wire) -> None:
    data = bytes(4000)
    cuts = [1480, 2960]
    first, second, third = pieces(data, 1, cuts)
    # In any order, and twice.
    wire.packets(third, first, third, second)
    # A whole one in pieces of 8 bytes.
    wire.packets(*pieces(bytes(100), 2, list(range(8, 108, 8))))
    # One piece lies over another: nothing comes of it, whatever follows.
    overlapping = pieces(data, 3, [1472, 2960])
    other = pieces(data, 3, cuts)
    wire.packets(overlapping[0], other[0], overlapping[2])
    wire.packets(pieces(data, 4, cuts)[0], frames.ip(ROUTER, frames.UDP, bytes(1480), fragment=MORE | 92, number=4))
    # Of another sender, or with another number, a piece is of another packet.
    wire.packets(pieces(data, 5, cuts)[0], *pieces(data, 5, cuts, STRANGER)[1:])
    wire.packets(pieces(data, 6, cuts)[0], *pieces(data, 7, cuts)[1:])
    # Two ends; a piece past the end; one that is not in units of 8; one without bytes.
    wire.packets(pieces(data, 8, cuts)[2], pieces(data, 8, [1480])[1])
    wire.packets(pieces(data, 9, cuts)[2], frames.ip(ROUTER, frames.UDP, bytes(8), fragment=MORE | 600, number=9))
    wire.packets(frames.ip(ROUTER, frames.UDP, bytes(9), fragment=MORE, number=10))
    wire.packets(frames.ip(ROUTER, frames.UDP, b"", fragment=MORE, number=11))
    wire.ping()
    # A datagram of its own, after which all the others have been dealt with.
    wire.packets(frames.udp(ROUTER, (1, COUNTER), b"the end"))
    found = attacked.call("datagrams.heard_until", 7, timeout=60)
    assert found == [4000, 100, 7]


def test_first_fragments_without_end_are_bounded(attacked: Guest, wire: Wire) -> None:
    # More than any machine may keep: each of its own packet, and all of one.
    for number in range(1200):
        wire.packets(frames.ip(STRANGER, frames.UDP, bytes(1480), fragment=MORE, number=number))
        if number % BURST == 0:
            wire.ping()
    for start in range(1, 1200):
        wire.packets(frames.ip(STRANGER, frames.UDP, bytes(8), fragment=MORE | start, number=5000))
        if start % BURST == 0:
            wire.ping()
    # There is room for others all the same.
    wire.packets(*pieces(bytes(5000), 60000, [1480, 2960, 4440]))
    wire.packets(frames.udp(ROUTER, (1, COUNTER), b"the end"))
    assert attacked.call("datagrams.heard_until", 7, timeout=60) == [5000, 7]
