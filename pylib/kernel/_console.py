"""The Python prompt on the machine's console.

The kernel starts `python -m kernel` when its command line names nothing else.
The prompt is CPython's own: `_pyrepl` where the terminal can do it, `code`
otherwise. `exit()` or Ctrl-D ends a session and begins the next one, with a
namespace of its own, in the same interpreter: threads that a session started
go on running, as do the objects they hold.
"""

# Imports that only some sessions need stay inside functions: the time from power
# on to the first prompt is spent in imports more than in anything else.
import builtins
import io
import os
import sys
import types
from collections.abc import Callable
from typing import TextIO, TypeAlias

#: Talks to the user over one namespace. Returns at end of input; raises
#: `SystemExit` if the user asks to leave.
Console: TypeAlias = Callable[[dict[str, object]], None]

#: How often the full-screen prompt may break down before the plain one replaces it.
_BREAKDOWNS = 3


def main() -> int:
    """Runs one session after the other; returns only if standard input is no terminal."""
    sys.argv = [""]
    if sys.path and sys.path[0] == os.getcwd():
        # As at any Python prompt: modules are looked up where the session is
        # now, not where it began.
        sys.path[0] = ""
    _show_tracebacks_on_quit()
    spare = _duplicate_console()
    while True:
        _restore_standard_streams(spare)
        if not os.isatty(0):
            return _run_piped(_plain_console)
        try:
            print(_banner())
            _run_session(_choose_console(), spare)
        except KeyboardInterrupt:
            # Ctrl-C between two sessions, where nothing runs that it could end.
            print()


def _show_tracebacks_on_quit() -> None:
    """Has Ctrl-\\ print what the session is doing, even inside C code that Ctrl-C cannot interrupt.

    Its default action would end the one program that the machine runs.
    """
    import faulthandler
    from signal import SIGQUIT

    # This thread alone: others run on meanwhile, and their frames may go while they are looked at.
    faulthandler.register(SIGQUIT, file=2, all_threads=False, chain=False)


def _banner() -> str:
    cpus = os.cpu_count() or 1
    return (
        f"PythonOS, Python {sys.version}, {cpus} CPU{'' if cpus == 1 else 's'}\n"
        'Type "help" for more information, "kernel.poweroff()" to switch off.'
    )


def _choose_console() -> Console:
    """Returns CPython's full-screen prompt if the terminal can do it, else the plain one."""
    if os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("PYTHON_BASIC_REPL"):
        return _plain_console
    from _pyrepl import main as pyrepl

    return _pyrepl_console if pyrepl.CAN_USE_PYREPL else _plain_console


def _run_session(console: Console, spare: int | None) -> None:
    """Runs one session to its end, whatever the console itself may raise."""
    namespace = _fresh_namespace()
    breakdowns = 0
    while True:
        try:
            console(namespace)
            return
        except SystemExit as request:
            _report_exit(request)
            return
        except KeyboardInterrupt:
            print("\nKeyboardInterrupt", file=sys.stderr)
        except BaseException as error:
            # The console failed, not what the user typed: the session and its
            # variables live on, so that nobody loses work to it.
            _restore_standard_streams(spare)
            sys.excepthook(type(error), error, error.__traceback__)
            breakdowns += 1
            if breakdowns == _BREAKDOWNS:
                console = _plain_console
            elif breakdowns > _BREAKDOWNS:
                return


def _run_piped(console: Console) -> int:
    """Runs one session over piped input; returns the exit status it asks for."""
    try:
        console(_fresh_namespace())
    except SystemExit as request:
        return _report_exit(request)
    return 0


def _pyrepl_console(namespace: dict[str, object]) -> None:
    from rlcompleter import Completer

    from _pyrepl import main as pyrepl
    from _pyrepl import readline

    # `_pyrepl` binds completion to the first namespace it meets; without this
    # later sessions would complete names of the first.
    readline.set_completer(Completer(namespace).complete)
    pyrepl.interactive_console(sys.modules["__main__"])


def _plain_console(namespace: dict[str, object]) -> None:
    from code import InteractiveConsole

    readline = sys.modules.get("_pyrepl.readline")
    if (original_input := getattr(readline, "raw_input", None)) is not None:
        # `_pyrepl` replaces `input`; this console stands in where that failed.
        builtins.input = original_input
    InteractiveConsole(namespace, filename="<stdin>").interact(banner="", exitmsg="")


def _fresh_namespace() -> dict[str, object]:
    """Installs a new `__main__` module and returns its namespace."""
    import kernel

    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    namespace["kernel"] = kernel
    sys.modules["__main__"] = module
    for name in ("last_exc", "last_type", "last_value", "last_traceback", "ps1", "ps2"):
        if hasattr(sys, name):
            delattr(sys, name)
    if hasattr(builtins, "_"):
        del builtins._
    return namespace


def _report_exit(request: SystemExit) -> int:
    """Prints what `exit(value)` asks to print; returns the exit status it means."""
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code
    print(request.code, file=sys.stderr)
    return 1


def _duplicate_console() -> int | None:
    """Returns a second descriptor of the console, or None if there is none to copy."""
    try:
        return os.dup(0)
    except OSError:
        return None


def _restore_standard_streams(spare: int | None) -> None:
    """Gives the next session working streams.

    `exit()` closes `sys.stdin`, and a session may have put anything in place of
    the three streams, or closed their descriptors.
    """
    if spare is not None:
        for fd in (0, 1, 2):
            try:
                os.fstat(fd)
            except OSError:
                os.dup2(spare, fd)
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        stream: TextIO | None = getattr(sys, f"__{name}__")
        if stream is None or stream.closed:
            stream = _reopen(fd, mode, stream)
            setattr(sys, f"__{name}__", stream)
        setattr(sys, name, stream)


def _reopen(fd: int, mode: str, closed: TextIO | None) -> TextIO:
    """Opens a standard stream as CPython's start-up does, with `closed`'s encoding."""
    stream = open(  # noqa: SIM115  (it stays open as long as the interpreter lives)
        fd,
        mode,
        buffering=1,
        encoding=getattr(closed, "encoding", None) or "utf-8",
        errors=getattr(closed, "errors", None),
        closefd=False,
    )
    assert isinstance(stream, io.TextIOWrapper)
    return stream
