"""Attaches this terminal to the Python shell of a running machine: telnet's client side (RFC 854).

The terminal is raw, so every key goes to the machine, Ctrl-C too; Ctrl-] leaves.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.progress import StepFailed

#: What leaves: Ctrl-].
ESCAPE = b"\x1d"

#: The most that is read at once, and that waits to be sent.
_ROOM = 1 << 16

_IAC, _DONT, _DO, _WONT, _WILL, _SB, _SE = 255, 254, 253, 252, 251, 250, 240
_ECHO, _SUPPRESS_GO_AHEAD, _TERMINAL_TYPE, _WINDOW_SIZE = 1, 3, 24, 31


def option(number: int, value: bytes) -> bytes:
    """Returns an option with a value as it travels."""
    return bytes([_IAC, _SB, number]) + value.replace(b"\xff", b"\xff\xff") + bytes([_IAC, _SE])


def window_size() -> bytes:
    """Returns the size of this terminal as it travels (RFC 1073)."""
    size = shutil.get_terminal_size()
    return option(_WINDOW_SIZE, size.columns.to_bytes(2) + size.lines.to_bytes(2))


def greeting(terminal: str) -> bytes:
    """Returns what a client says first; it does not wait to be asked, as the machine would not ask."""
    offers = bytes([_IAC, _WILL, _WINDOW_SIZE, _IAC, _WILL, _TERMINAL_TYPE])
    wishes = bytes([_IAC, _DO, _ECHO, _IAC, _DO, _SUPPRESS_GO_AHEAD])
    return offers + wishes + window_size() + option(_TERMINAL_TYPE, b"\0" + terminal.upper().encode())


class Output:
    """Takes the commands out of what the machine sends; they need no answer."""

    def __init__(self) -> None:
        self._pending = b""

    def receive(self, data: bytes) -> bytes:
        """Returns what is to be shown."""
        data = self._pending + data
        shown = bytearray()
        at = 0
        while at < len(data):
            if data[at] != _IAC:
                shown.append(data[at])
                at += 1
                continue
            end = self._end_of_command(data, at)
            if end is None:
                break
            if data[at + 1] == _IAC:
                shown.append(_IAC)
            at = end
        self._pending = data[at:]
        return bytes(shown)

    @staticmethod
    def _end_of_command(data: bytes, at: int) -> int | None:
        """Returns where the command that begins at `at` ends; None if it has not come whole."""
        command = data[at + 1 : at + 2]
        if not command:
            return None
        if command[0] == _SB:
            end = data.find(bytes([_IAC, _SE]), at)
            return None if end < 0 else end + 2
        length = 3 if command[0] in (_DO, _DONT, _WILL, _WONT) else 2
        return at + length if at + length <= len(data) else None


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """Has a terminal pass on every key as it is."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextmanager
def resizes() -> Iterator[int]:
    """Gives a descriptor that can be read when the terminal's size has changed."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def note(*_: object) -> None:
        # Full, it says enough.
        with suppress(BlockingIOError):
            os.write(writer, b"\0")

    before = signal.signal(signal.SIGWINCH, note)
    try:
        yield reader
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(reader)
        os.close(writer)


def attach(port: int) -> int:
    """Attaches this terminal to a port of this host until the session ends or Ctrl-] is typed."""
    if not sys.stdin.isatty():
        raise StepFailed(f"`make connect` wants a terminal; without one: nc localhost {port}")
    try:
        connection = socket.create_connection(("127.0.0.1", port), 10)
    except OSError as error:
        raise StepFailed(f"no machine answers on port {port} ({error.strerror}): start one with `make run`") from None
    connection.setblocking(False)
    with connection, raw(0), resizes() as resized:
        _exchange(connection, resized)
    print("\nleft the machine", file=sys.stderr)
    return 0


def _exchange(connection: socket.socket, resized: int) -> None:
    """Passes on what is typed and what is to be shown."""
    output = Output()
    pending = bytearray(greeting(os.environ.get("TERM", "dumb")))
    while True:
        # The terminal's output goes on however much was pasted: the machine echoes it.
        readers = [connection, resized, *([0] if len(pending) < _ROOM else [])]
        ready, writable, _ = select.select(readers, [connection] if pending else [], [])
        if connection in ready:
            data = b""
            with suppress(ConnectionError):
                data = connection.recv(_ROOM)
            if not data:
                return
            sys.stdout.buffer.write(output.receive(data))
            sys.stdout.buffer.flush()
        if writable:
            # Where nobody is any more the next read says so.
            with suppress(ConnectionError):
                del pending[: connection.send(pending)]
        if resized in ready:
            os.read(resized, _ROOM)
            pending += window_size()
        if 0 in ready:
            typed, escape, _ = (data := os.read(0, 4096)).partition(ESCAPE)
            # A return travels as two bytes.
            pending += typed.replace(b"\xff", b"\xff\xff").replace(b"\r", b"\r\0")
            if escape or not data:
                # What was typed before, as far as the machine takes it soon.
                connection.settimeout(1)
                with suppress(OSError):
                    connection.sendall(pending)
                return


def is_free(port: int) -> bool:
    """Tells whether no program has a port of this host."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
