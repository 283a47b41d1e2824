"""The names that every session and every command finds bound, and the banner that lists them."""

import asyncio
import builtins
import importlib
import os
import sys
from functools import partial
from typing import Any

from kernel._reload import keep
from kernel.shell import _commands

#: Objects of the machine: name, the module that has it, its name there ("" for the module itself).
_OBJECTS = (
    ("log", "kernel.log", ""),
    ("pci", "kernel.bus.pci", "bus"),
    ("vfs", "kernel.fs", "vfs"),
    ("OpenFlags", "kernel.fs", "OpenFlags"),
    ("net", "kernel.net", ""),
    ("sound", "kernel.sound", ""),
    ("scheduler", "kernel.scheduler", "scheduler"),
    ("display", "kernel.display", ""),
)


def banner() -> str:
    """Returns what a session prints first."""
    return (
        "PythonOS kernel shell\n"
        f"Python {sys.version}\n"
        "Type 'help' for help.\n"
        "Commands: ls ps pwd cd cat cp mv ftp ed sysinfo netstat ...\n"
        "Helpers: sh()  sh('cmd args')  run('/path')  clear()"
    )


class _Help:
    """`help`: of the shell, of a command by its name, of any Python object."""

    def __call__(self, subject: object = None, /) -> None:
        if subject is None:
            print(_overview())
        elif isinstance(subject, str) and (path := _commands.find(subject)) is not None:
            print(_commands.documentation(path))
        else:
            import pydoc

            pydoc.help(subject)

    def __repr__(self) -> str:
        return "Type help() for help on the shell, help('ls') on a command, help(object) on a Python object."


class _Leave:
    """`exit` and `quit`: leave the session."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, code: object = None) -> None:
        raise SystemExit(code)

    def __repr__(self) -> str:
        return f"Use {self._name}() or Ctrl-D to leave the session"


def clear() -> None:
    """Clears the terminal of the session."""
    sys.stdout.write("\x1b[H\x1b[2J\x1b[3J")
    sys.stdout.flush()


def _overview() -> str:
    names = sorted(name[:-3] for name in os.listdir(_commands.FOLDER) if name.endswith(".py"))
    return (
        "Python statements run as in any Python; `await` works at the top level.\n"
        "A word that names no Python object runs the command of that name: ls -l /bin\n"
        f"Commands: {' '.join(names)}\n"
        "Each explains itself: help('ls') or ls -h\n"
        "sh() opens a shell prompt with pipes, >, >>, <, patterns and &; exit returns.\n"
        "sh('ls | wc') runs one line, run('/path/file.py', ...) a Python file, clear() clears the screen.\n"
        "Sessions over TCP have a chat: chat.send('hello'), chat.nick('ann'), chat.who().\n"
        "cwd is the current directory; assigning it moves there. exit() or Ctrl-D ends the session.\n"
        "help(object) explains a Python object."
    )


help_: Any = keep(globals().get("help_"), _Help)
exit_ = keep(globals().get("exit_"), _Leave, partial(_Leave, "exit"))
quit_ = keep(globals().get("quit_"), _Leave, partial(_Leave, "quit"))

#: Callable without parentheses when they are all that was typed.
LONE = {"help": help_, "exit": exit_, "quit": quit_, "clear": clear}


def bound() -> dict[str, Any]:
    """Returns the names of the kernel namespace but for those of one session (`sh`, `run`, `cwd`)."""
    import kernel

    # As at the prompt of `python -m asyncio`, `asyncio` is there for what is awaited.
    names: dict[str, Any] = {"kernel": kernel, "asyncio": asyncio, "print": builtins.print, **LONE}
    for name, module, attribute in _OBJECTS:
        try:
            found = importlib.import_module(module)
            names[name] = getattr(found, attribute) if attribute else found
        except ImportError:
            # This machine has no such thing: the name stays unbound.
            continue
    return names
