"""Compiles what is typed at `>>>`, runs it, and shows what goes wrong with it."""

import __future__

import ast
import codeop
import itertools
import linecache
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, cast

from kernel.shell._constants import share_constants

#: Goes on when this module is reloaded.
_numbers: "itertools.count[int]" = globals().get("_numbers") or itertools.count()


#: How asyncio ends what it says when a loop was to be run inside another.
_INSIDE_LOOP = "cannot be called from a running event loop"
_AWAIT_INSTEAD = (
    "At this prompt a loop runs already: `await main()` does what `asyncio.run(main())` does in a program.\n"
    "run('/path/file.py') and sh('file.py') start programs."
)


class Interpreter:
    """The Python of one session. The session's own thread uses it."""

    def __init__(
        self, namespace: dict[str, Any], execute: Callable[[types.CodeType], None], *, has_colours: bool
    ) -> None:
        self._namespace = namespace
        self._execute = execute
        self._has_colours = has_colours
        self._filenames: list[str] = []
        self._flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def wants_more(self, text: str) -> bool:
        """Tells whether a statement goes on after what was typed of it."""
        # What an editor indents the next line by is no line yet.
        short = text.rstrip(" \t")
        source = short if short.endswith("\n") else text
        try:
            compiler = codeop.CommandCompiler()
            compiler.compiler.flags |= self._flags
            return compiler(source, "<stdin>", "single") is None
        except (OverflowError, SyntaxError, ValueError):
            # Several statements were pasted, or one is wrong: a block ends with an empty line.
            lines = source.splitlines(keepends=True)
            return len(lines) > 1 and lines[-1].startswith((" ", "\t")) and not lines[-1].endswith("\n")

    def run(self, source: str) -> None:
        """Runs statements, one after the other, until one fails; raises `SystemExit` if one asks for it."""
        # A name of its own for each, of all sessions: tracebacks find the text by it.
        filename = f"<python-input-{next(_numbers)}>"
        lines = source.splitlines(keepends=True)
        linecache.cache[filename] = (len(source), None, lines, filename)
        self._filenames.append(filename)
        try:
            tree = cast(ast.Module, compile(source, filename, "exec", self._flags | ast.PyCF_ONLY_AST, True))
            codes = [
                # Each as if it had been typed alone: the value of an expression is shown.
                share_constants(compile(ast.Interactive([statement]), filename, "single", self._flags, True))
                for statement in tree.body
            ]
        except (OverflowError, SyntaxError, ValueError, MemoryError, RecursionError) as error:
            self._show(error, None)
            return
        for code in codes:
            for name in __future__.all_feature_names:
                self._flags |= code.co_flags & getattr(__future__, name).compiler_flag
            try:
                self._execute(code)
            except SystemExit:
                raise
            except BaseException as error:
                self._show(error, self._user_frames(error.__traceback__))
                return

    def close(self) -> None:
        """Forgets the text of all statements: tracebacks of what they have left running show none of it any more."""
        for filename in self._filenames:
            linecache.cache.pop(filename, None)
        self._filenames.clear()

    def _user_frames(self, entry: types.TracebackType | None) -> types.TracebackType | None:
        """Returns a traceback without the frames of the session that led to the user's code."""
        first = entry
        while entry is not None and entry.tb_frame.f_globals is not self._namespace:
            entry = entry.tb_next
        return entry or first

    def _show(self, error: BaseException, entry: types.TracebackType | None) -> None:
        error = error.with_traceback(entry)
        if isinstance(error, RuntimeError) and str(error).endswith(_INSIDE_LOOP):
            error.add_note(_AWAIT_INSTEAD)
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, entry
        sys.last_exc = error  # type: ignore[attr-defined]
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, entry)
            return
        options: dict[str, Any] = {"colorize": True} if self._has_colours else {}
        sys.stderr.write("".join(traceback.format_exception(type(error), error, entry, **options)))
