"""What users of sessions over TCP say to each other.

A message is written to the others' terminals at once. None of them is waited for: one whose client does
not read, and has no room left, misses it.
"""

import os
import threading
from contextlib import suppress
from typing import Final, Self

#: The longest name and the longest message, in characters.
_NAME: Final = 32
_MESSAGE: Final = 1000

#: The terminals of those who are here, by name; `_changing` guards it. Both stay when this module is reloaded.
_here: dict[str, int] = globals().get("_here") or {}
_changing: threading.Lock = globals().get("_changing") or threading.Lock()


def _printable(text: str) -> str:
    """Returns text that moves no cursor and ends no line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Chat:
    """`chat`: what the user of one session says and hears. Threads may share it.

    send(text)   tells all others
    nick(name)   changes what they call you
    who()        returns the names of all who are here
    """

    def __init__(self, terminal_fd: int, name: str) -> None:
        # A description of its own, which does not wait.
        self._fd = os.open(os.ttyname(terminal_fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        with _changing:
            while name in _here:
                name += "_"
            self._name = name
            _here[name] = self._fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _changing:
            del _here[self._name]
            os.close(self._fd)
            self._name = ""

    def send(self, text: object) -> None:
        """Tells all others something, in one line; raises `ValueError` if it is too long."""
        line = _printable(str(text))
        if len(line) > _MESSAGE:
            raise ValueError(f"{len(line)} characters are too many: a message has at most {_MESSAGE}")
        with _changing:
            self._look_that_it_is_here()
            message = f"\r\n{self._name}: {line}\r\n".encode()
            for name, fd in _here.items():
                if name != self._name:
                    # Full, or gone at this moment.
                    with suppress(OSError):
                        os.write(fd, message)

    def nick(self, name: str) -> None:
        """Changes your name; raises `ValueError` if somebody has it, or if it is none."""
        if not 0 < len(name) <= _NAME or not name.isprintable() or name != name.strip():
            raise ValueError(f"{name!r} is no name: want 1 to {_NAME} printable characters")
        with _changing:
            self._look_that_it_is_here()
            if name == self._name:
                return
            if name in _here:
                raise ValueError(f"somebody is called {name} already")
            _here[name] = _here.pop(self._name)
            self._name = name

    def who(self) -> list[str]:
        """Returns the names of all who are here."""
        with _changing:
            return sorted(_here)

    def _look_that_it_is_here(self) -> None:
        if not self._name:
            raise RuntimeError("the session that this belongs to has ended")

    def __repr__(self) -> str:
        return f"<chat: {', '.join(self.who())}; chat.send('hello'), chat.nick('ann'), chat.who()>"
