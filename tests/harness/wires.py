"""A wire between two machines, on which frames get lost and overtake each other."""

from __future__ import annotations

import random
import select
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType

#: More than the longest frame.
FRAME_MAX = 1 << 16
#: So many frames overtake one that is held back.
OVERTAKING = 3
#: How long a frame is held back if none comes to overtake it, in seconds.
HELD = 0.02


class Wire:
    """Two ends for `-netdev`; what one machine sends arrives at the other, but for what gets lost.

    `loss` is the share of the frames that get lost, and of those that are overtaken; which they are depends on `seed`
    and the number of the frame alone.
    """

    def __init__(self, loss: float, seed: int) -> None:
        self.loss = loss
        self.carried = [0, 0]
        self.lost = [0, 0]
        # Below /tmp: the path of a socket has 108 bytes at most.
        self._folder = Path(tempfile.mkdtemp(prefix="wire-"))
        self._random = [random.Random(f"{seed} {end}") for end in (0, 1)]
        self._sockets = [self._open(end) for end in (0, 1)]
        self._threads = [threading.Thread(target=self._relay, args=(end,)) for end in (0, 1)]
        self._is_open = True

    def _path(self, end: int, side: str) -> str:
        return str(self._folder / f"{side}{end}")

    def _open(self, end: int) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        opened.bind(self._path(end, "wire"))
        return opened

    def network(self, end: int) -> str:
        """Returns what `-netdev` says for the machine at this end; the network's id is `wire`."""
        local, remote = self._path(end, "machine"), self._path(end, "wire")
        return f"dgram,id=wire,local.type=unix,local.path={local},remote.type=unix,remote.path={remote}"

    def __enter__(self) -> Wire:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_open = False
        for end in (0, 1):
            # An empty frame: the thread looks whether the wire is still there.
            self._sockets[1 - end].sendto(b"", self._path(end, "wire"))
        for thread in self._threads:
            thread.join()
        for opened in self._sockets:
            opened.close()
        shutil.rmtree(self._folder)

    def _relay(self, end: int) -> None:
        """Carries frames from one end to the other."""
        source, chance = self._sockets[end], self._random[end]
        held: list[bytes] = []
        overtaking = 0
        while True:
            # Not by a time-out of the socket's own: the other thread sends through it.
            is_ready, _, _ = select.select([source], [], [], HELD if held else None)
            if is_ready:
                frame = source.recv(FRAME_MAX)
            else:
                frame, overtaking = b"", OVERTAKING
            if not self._is_open:
                return
            if frame:
                self.carried[end] += 1
                fate = chance.random()
                if fate < self.loss:
                    self.lost[end] += 1
                    continue
                if fate < 2 * self.loss and not held:
                    held.append(frame)
                    overtaking = 0
                    continue
                self._send(end, frame)
                overtaking += 1
            if held and overtaking >= OVERTAKING:
                self._send(end, held.pop())

    def _send(self, end: int, frame: bytes) -> None:
        try:
            self._sockets[1 - end].sendto(frame, self._path(1 - end, "machine"))
        except (ConnectionError, FileNotFoundError):
            # The machine has ended, or has not started.
            self.lost[end] += 1
