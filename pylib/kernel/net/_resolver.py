"""Names to addresses and back: by the C library's resolver, or by asking one name server (RFC 1035)."""

import errno
import os
import secrets
import socket
import struct
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

_A: Final = 1
_PTR: Final = 12
_AAAA: Final = 28
_INTERNET: Final = 1
_RESPONSE: Final = 0x8000
_RECURSION_DESIRED: Final = 0x0100
_CODE: Final = 0x000F
_NO_SUCH_NAME: Final = 3
#: How often a question is sent before the time is up: datagrams get lost.
_ATTEMPTS: Final = 3
#: Where a message goes on after its header.
_HEADER: Final = 12


def resolve(name: str, *, server: str | None = None, port: int = 53, timeout_s: float = 5.0) -> list[str]:
    """Returns the addresses of a host, IPv4 and IPv6, best first.

    The C library looks in `/etc/hosts` and then asks the name servers of `/etc/resolv.conf`. With `server`, an
    address, that one is asked instead, at its UDP port `port`, for at most `timeout_s` seconds per question.

    Raises `OSError`: `socket.gaierror` with `name` as its `filename` if there is no such host, `TimeoutError` if the
    server does not answer; `ValueError` if it can be no name.
    """
    if server is not None:
        found = [address for kind in (_A, _AAAA) for address in _ask(name, name, kind, server, port, timeout_s)]
        if not found:
            raise _failure(name, socket.EAI_NONAME, "No address for this name")
        return found
    try:
        entries = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        error.filename = name
        raise
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def reverse(address: str, *, server: str | None = None, port: int = 53, timeout_s: float = 5.0) -> str:
    """Returns the name of the host with this address. Other arguments and errors: see `resolve`."""
    pointer = ip_address(address).reverse_pointer
    if server is not None:
        names = _ask(address, pointer, _PTR, server, port, timeout_s)
        if not names:
            raise _failure(address, socket.EAI_NONAME, "No name for this address")
        return names[0]
    try:
        return socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0]
    except socket.gaierror as error:
        error.filename = address
        raise


def _failure(subject: str, code: int, reason: str) -> socket.gaierror:
    error = socket.gaierror(code, reason)
    error.filename = subject
    return error


def _ask(subject: str, name: str, kind: int, server: str, port: int, timeout_s: float) -> list[str]:
    """Returns the records of a kind that a server has of a name; errors are about `subject`."""
    labels = name.rstrip(".").encode("idna").split(b".")
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + struct.pack("!HH", kind, _INTERNET)
    # Unpredictable, so that only who sees the question can answer it.
    number = secrets.randbits(16)
    query = struct.pack("!HHHHHH", number, _RECURSION_DESIRED, 1, 0, 0, 0) + question
    family, _, _, _, place = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as channel:
        channel.connect(place)
        for _ in range(_ATTEMPTS):
            channel.send(query)
            deadline = time.monotonic() + timeout_s / _ATTEMPTS
            while (rest_s := deadline - time.monotonic()) > 0:
                channel.settimeout(rest_s)
                try:
                    message = channel.recv(1 << 16)
                except TimeoutError:
                    break
                except OSError as error:
                    # Nobody has the port, say.
                    error.filename = server
                    raise
                # What cannot be read is no answer: the right one may still come.
                with suppress(IndexError, struct.error, ValueError):
                    return _records(message, number, question, kind, subject)
    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), server)


def _records(message: bytes, number: int, question: bytes, kind: int, subject: str) -> list[str]:
    """Returns the records of a kind in the answer to a question.

    Raises `socket.gaierror` if there is no such name or the server refuses, `IndexError`, `struct.error` or
    `ValueError` if the message is no answer to it.
    """
    found_number, flags, questions, answers = struct.unpack_from("!HHHH", message)
    at = _HEADER + len(question)
    is_answer = found_number == number and flags & _RESPONSE and questions == 1
    # Servers may repeat the name in other letters.
    if not is_answer or message[_HEADER:at].lower() != question.lower():
        raise ValueError("another question was answered")
    if code := flags & _CODE:
        if code == _NO_SUCH_NAME:
            raise _failure(subject, socket.EAI_NONAME, "Name does not resolve")
        raise _failure(subject, socket.EAI_FAIL, f"The name server answers with error {code}")
    found = []
    for _ in range(answers):
        _, at = _read_name(message, at)
        found_kind, _, _, length = struct.unpack_from("!HHIH", message, at)
        at += 10
        if found_kind == kind:
            data = message[at : at + length]
            found.append(_read_name(message, at)[0] if kind == _PTR else str(ip_address(data)))
        at += length
    return found


def _read_name(message: bytes, at: int) -> tuple[str, int]:
    """Returns the name at a place in a message, and the place after it."""
    labels = []
    begin, end = at, None
    while length := message[at]:
        if length < 0x40:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
            continue
        # A pointer (section 4.1.4), always to an earlier place: else it might go round in circles.
        (pointer,) = struct.unpack_from("!H", message, at)
        target = pointer & 0x3FFF
        if length < 0xC0 or target >= begin:
            raise ValueError("a name without an end")
        end = at + 2 if end is None else end
        begin = at = target
    return ".".join(labels), at + 1 if end is None else end
