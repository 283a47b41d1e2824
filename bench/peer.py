"""The other end of the network's figures: a program on the host that sends, receives and answers.

A guest of QEMU's user network finds the host's own 127.0.0.1 at 10.0.2.2 (tests/guest/network_speed.py).
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from types import TracebackType

#: The longest message that is sent back at once.
_MESSAGE = 1 << 16


class Peer:
    """Serves one connection after the other, as its first line asks, in a thread, as long as the context lasts."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Who waits in accept(2) is not woken by close(2).
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self._serve(connection)
                except ConnectionError:
                    # The machine has ended.
                    continue

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return
            line += byte
        match line.split():
            case [b"send", size]:
                data = os.urandom(int(size))
                connection.sendall(data)
                connection.sendall(hashlib.sha256(data).hexdigest().encode())
            case [b"receive", size]:
                received = bytearray(int(size))
                view = memoryview(received)
                while view:
                    count = connection.recv_into(view)
                    if not count:
                        return
                    view = view[count:]
                # The guest stops its clock here: the hash is no part of the figure.
                connection.sendall(b".")
                connection.sendall(hashlib.sha256(received).hexdigest().encode())
            case [b"echo"]:
                while data := connection.recv(_MESSAGE):
                    connection.sendall(data)
