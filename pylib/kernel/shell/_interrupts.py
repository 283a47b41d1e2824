"""Whom Ctrl-C goes to: on PythonOS a terminal's typed signals may go to one thread."""

import _signal  # type: ignore[import]
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: On PythonOS this raises KeyboardInterrupt in the thread it is sent to (docs/sessions.md).
_THREAD_INTERRUPT = getattr(signal, "SIGSTKFLT", None)


#: What Ctrl-C may come as.
SIGNALS = [signal.SIGINT] + ([] if _THREAD_INTERRUPT is None else [_THREAD_INTERRUPT])


#: Not `signal.pthread_sigmask`, a Python function around this one: as it begins, a Ctrl-C may come in.
change_mask = _signal.pthread_sigmask


def allow() -> None:
    """Lets Ctrl-C interrupt the calling thread anywhere; raises `KeyboardInterrupt` if one was held back."""
    change_mask(signal.SIG_UNBLOCK, SIGNALS)


def hold() -> None:
    """Holds Ctrl-C back in the calling thread until `allow`; raises `KeyboardInterrupt` if one came just before.

    What a session does by itself, asyncio's bookkeeping say, must not end half-way.
    """
    change_mask(signal.SIG_BLOCK, SIGNALS)


@contextmanager
def allowed() -> Iterator[None]:
    """Lets Ctrl-C interrupt what is done meanwhile."""
    try:
        allow()
        yield
    finally:
        hold()


def is_native() -> bool:
    """Tells whether this Python is the machine's own, not one on a host's system."""
    return os.uname().sysname == "PythonOS"


def direct_to_this_thread(fd: int) -> None:
    """Has the signals typed at terminal `fd` go to the calling thread alone."""
    if is_native():
        os.tcsetpgrp(fd, threading.get_native_id())


def interrupt(thread: threading.Thread) -> None:
    """Raises KeyboardInterrupt in another thread, whatever it waits for; nothing if it has ended."""
    if not is_native() or _THREAD_INTERRUPT is None or thread.ident is None:
        return
    with suppress(ProcessLookupError):
        signal.pthread_kill(thread.ident, _THREAD_INTERRUPT)


def show_tracebacks_on_quit() -> None:
    """Has Ctrl-\\ print what the session is doing, even inside C code that Ctrl-C cannot interrupt.

    It is printed on the console. The default action would end the one program that the machine runs.
    """
    import faulthandler

    # This thread alone: others run on meanwhile, and their frames may go while they are looked at.
    faulthandler.register(signal.SIGQUIT, file=2, all_threads=False, chain=False)
