"""Plays the network behind a machine's card, frame by frame: what it sends need not make sense.

QEMU's `dgram` back end puts each Ethernet frame into a UDP datagram on the host's loopback.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

#: The network that is played: the machine, and everybody else behind one Ethernet address.
MACHINE = "10.0.2.15"
ROUTER = "10.0.2.2"
#: Somebody behind the router.
STRANGER = "198.51.100.7"
OURS = bytes.fromhex("525500000002")
#: The machine's card.
MAC = "52:54:00:12:34:56"
THEIRS = bytes.fromhex(MAC.replace(":", ""))
BROADCAST = b"\xff" * 6
IPV4, ARP = 0x0800, 0x0806
ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def checksum(data: bytes) -> int:
    """Returns the Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def ethernet(payload: bytes, kind: int = IPV4, to: bytes = THEIRS) -> bytes:
    """Puts a packet into a frame."""
    return to + OURS + struct.pack("!H", kind) + payload


def ip(source: str, protocol: int, payload: bytes, to: str = MACHINE, fragment: int = 0, number: int = 0) -> bytes:
    """Puts a payload into an IPv4 packet; `fragment` are its flags and offset."""
    addresses = socket.inet_aton(source) + socket.inet_aton(to)
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), number, fragment, 64, protocol)
    return start + struct.pack("!H", checksum(start + bytes(2) + addresses)) + addresses + payload


def tcp(
    source: str, ports: tuple[int, int], flags: int, seq: int, ack: int = 0, data: bytes = b"", window: int = 65535
) -> bytes:
    """Returns an IPv4 packet with a TCP segment for the machine."""
    words = struct.pack("!HHIIBBH", *ports, seq % 2**32, ack % 2**32, 5 << 4, flags, window)
    pseudo = socket.inet_aton(source) + socket.inet_aton(MACHINE) + struct.pack("!HH", TCP, 20 + len(data))
    total = checksum(pseudo + words + bytes(4) + data)
    return ip(source, TCP, words + struct.pack("!HH", total, 0) + data)


def udp(source: str, ports: tuple[int, int], data: bytes) -> bytes:
    """Returns an IPv4 packet with a UDP datagram, which has no checksum, for the machine."""
    return ip(source, UDP, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data)


def echo_request(number: int, data: bytes = b"") -> bytes:
    """Returns an IPv4 packet that asks the machine for an answer with the same number."""
    start = struct.pack("!BBHHH", 8, 0, 0, 7, number) + data
    return ip(ROUTER, ICMP, start[:2] + struct.pack("!H", checksum(start)) + start[4:])


class Segment:
    """A TCP segment that the machine has sent."""

    def __init__(self, packet: bytes) -> None:
        self.to = socket.inet_ntoa(packet[16:20])
        size = struct.unpack("!H", packet[2:4])[0]
        header = (packet[0] & 15) * 4
        self.sport, self.dport, self.seq, self.ack, offset, flags = struct.unpack(
            "!HHIIBB", packet[header : header + 14]
        )
        self.flags = flags & (FIN | SYN | RST | ACK)
        self.data = packet[header + (offset >> 4) * 4 : size]

    @property
    def end(self) -> int:
        """The sequence number after it."""
        return (self.seq + len(self.data) + bool(self.flags & SYN) + bool(self.flags & FIN)) % 2**32


class Wire:
    """The other end of the cable. One thread uses it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self._card = free.getsockname()
        self._pings = 0

    def arguments(self) -> list[str]:
        """What QEMU needs to be told."""
        ends = f"local.type=inet,local.host=127.0.0.1,local.port={self._card[1]}"
        ends += f",remote.type=inet,remote.host=127.0.0.1,remote.port={self._socket.getsockname()[1]}"
        return ["-netdev", f"dgram,id=wire,{ends}", "-device", f"virtio-net-pci,netdev=wire,mac={MAC}"]

    def close(self) -> None:
        """Lets go of the cable."""
        self._socket.close()

    def send(self, *frames: bytes) -> None:
        """Sends frames to the machine."""
        for frame in frames:
            self._socket.sendto(frame, self._card)

    def packets(self, *packets: bytes) -> None:
        """Sends IPv4 packets to the machine."""
        self.send(*map(ethernet, packets))

    def look(self, wanted: Callable[[bytes], Any], timeout: float) -> Any:
        """Receives frames until `wanted` returns something true for an IPv4 packet; returns that, or None after a time.

        What a network has to do for a machine is done meanwhile: addresses are given and resolved.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame = self._socket.recv(1 << 16)
            except TimeoutError:
                break
            kind, payload = struct.unpack("!H", frame[12:14])[0], frame[14:]
            if kind == ARP:
                self._resolve(payload)
            elif kind == IPV4:
                self._lease(payload)
                if found := wanted(payload):
                    return found
        return None

    def wait(self, wanted: Callable[[bytes], Any]) -> Any:
        """Looks for a packet that is sure to come."""
        found = self.look(wanted, 60.0)
        assert found is not None, "the machine has not sent what was waited for"
        return found

    def segment(self, wanted: Callable[[Segment], bool]) -> Segment:
        """Waits for a TCP segment."""

        def look(packet: bytes) -> Segment | None:
            if packet[9] != TCP:
                return None
            segment = Segment(packet)
            return segment if wanted(segment) else None

        found: Segment = self.wait(look)
        return found

    def ping(self) -> None:
        """Waits until the machine has dealt with all that was sent to it."""
        self._pings += 1
        number = struct.pack("!H", self._pings % 2**16)

        def is_answer(packet: bytes) -> bool:
            return packet[9] == ICMP and packet[20] == 0 and packet[26:28] == number

        # What the machine repeats to others may leave no room for an answer.
        for _ in range(30):
            self.packets(echo_request(self._pings % 2**16))
            if self.look(is_answer, 2.0):
                return
        raise AssertionError("the machine does not answer")

    def _resolve(self, packet: bytes) -> None:
        """Answers an ARP request for any address but the machine's: all the others are here."""
        operation, (mac, sender, _, target) = packet[7], struct.unpack("!6s4s6s4s", packet[8:28])
        if operation == 1 and socket.inet_ntoa(target) != MACHINE:
            answer = struct.pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, 2, OURS, target, mac, sender)
            self.send(ethernet(answer, ARP))

    def _lease(self, packet: bytes) -> None:
        """Answers a DHCP request (RFC 2131)."""
        if packet[9] != UDP or packet[22:24] != struct.pack("!H", 67):
            return
        request = packet[28:]
        kind = request[request.index(bytes((53, 1)), 236) + 2]
        answers = {1: 2, 3: 5}
        if kind not in answers:
            return
        head = struct.pack("!BBBB4sHH", 2, 1, 6, 0, request[4:8], 0, 0) + bytes(4) + socket.inet_aton(MACHINE)
        head += socket.inet_aton(ROUTER) + bytes(4) + THEIRS + bytes(10 + 64 + 128)
        options = bytes.fromhex("63825363") + bytes((53, 1, answers[kind]))
        for code, value in ((54, ROUTER), (1, "255.255.255.0"), (3, ROUTER)):
            options += bytes((code, 4)) + socket.inet_aton(value)
        options += bytes((51, 4)) + struct.pack("!I", 86400) + b"\xff"
        body = head + options
        reply = struct.pack("!HHHH", 67, 68, 8 + len(body), 0) + body
        self.send(ethernet(ip(ROUTER, UDP, reply, to="255.255.255.255"), to=BROADCAST))
