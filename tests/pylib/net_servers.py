"""Servers for tests of `kernel.net`, here and on the machine: of names, of the time, each a function that answers."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def answering(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """Has a thread answer datagrams on the loopback; yields its port. None ends the answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                question, client = server.recvfrom(4096)
                if question == b"end":
                    return
                if (reply := answer(question)) is not None:
                    server.sendto(reply, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"end", server.getsockname())
            thread.join()


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    """Returns a record of a DNS message."""
    return owner + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


#: The name of the question, as a pointer to it.
ASKED = b"\xc0\x0c"


def name_server(question: bytes) -> bytes | None:
    """Answers like a name server of one zone."""
    number, end = question[:2], question.index(b"\0", 12)
    labels, at = [], 12
    while at < end:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    name, (kind,) = ".".join(labels).lower(), struct.unpack_from("!H", question, end + 1)
    answers: list[bytes] = []
    code = 0
    if name == "host.test" and kind == 1:
        # By way of another name, whose record comes with it.
        alias = b"\4real" + ASKED
        answers = [record(ASKED, 5, alias), record(alias, 1, bytes([192, 0, 2, 1])), record(alias, 1, bytes([192, 0, 2, 2]))]
    elif name == "host.test" and kind == 28:
        answers = [record(ASKED, 28, bytes.fromhex("20010db8000000000000000000000001"))]
    elif name == "1.2.0.192.in-addr.arpa" and kind == 12:
        answers = [record(ASKED, 12, b"\4host\4test\0")]
    elif name == "silent.test":
        return None
    elif name == "circle.test":
        # Its name is where it is itself.
        answers = [record(struct.pack("!H", 0xC000 | len(question)), kind, bytes(4))]
    elif name == "forged.test":
        number = bytes(byte ^ 1 for byte in number)
    elif name == "broken.test":
        code = 2
    elif name != "empty.test":
        code = 3
    return number + struct.pack("!HHHHH", 0x8180 | code, 1, len(answers), 0, 0) + question[12:] + b"".join(answers)


#: Seconds between 1900 and 1970.
SINCE_1900 = 2_208_988_800


def time_server(ahead_s: float, *, leap: int = 0, stratum: int = 2, kind: int = 4, mark: int = 0) -> Callable[[bytes], bytes]:
    """Returns what answers like a server whose clock is so far ahead."""

    def stamp() -> bytes:
        return round((time.time() + ahead_s + SINCE_1900) * (1 << 32)).to_bytes(9)[1:]

    def answer(question: bytes) -> bytes:
        assert (len(question), question[0]) == (48, 0x23)
        came = stamp()
        origin = bytes(byte ^ mark for byte in question[40:])
        head = bytes([leap << 6 | 4 << 3 | kind, stratum]) + bytes(10) + b"RATE" + bytes(8)
        return head + origin + came + stamp()

    return answer
