"""Sessions: a Python prompt with commands, over any terminal.

    Session("/dev/pts/3").start()     serves a terminal in a thread of its own
    Session(fd, terminal="dumb").run()  serves a connection in the calling thread

Each has a namespace, a current directory, standard streams, a history and an event loop of its own,
and its Ctrl-C interrupts nobody else. docs/sessions.md says what is typed there and how it works.
"""

from kernel._errors import CommandError
from kernel.shell._session import Session

__all__ = ["Session", "CommandError"]
