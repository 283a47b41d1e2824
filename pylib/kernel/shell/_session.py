"""A session: a user at a terminal, talking to the machine in Python.

```text
                    ┌ prompt (plain or full screen) ── waits: the event loop runs
   terminal ── Session.run, in one thread
                    └ statement or command ── runs inside the event loop, in the same thread
```
One thread does everything for its session, so Ctrl-C, which the kernel directs at that thread,
interrupts whatever goes on; tasks run while the session waits for input or for an `await`, as in
`python -m asyncio`.
"""

import asyncio
import builtins
import contextvars
import inspect
import io
import itertools
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TextIO

from kernel.command import error_line
from kernel.shell import _environment, _interrupts, _log, _names, _words
from kernel.shell._commands import Shell, current_directory, find
from kernel.shell._environment import Environment
from kernel.shell._input import LineTooLong, PlainPrompt, Prompt, TtyInput, TtyReader
from kernel.shell._interpreter import Interpreter

_PS1, _PS2, _SHELL_PS1 = ">>> ", "... ", "$ "

#: How often the full-screen prompt may break down before the plain one replaces it.
_BREAKDOWNS = 3

#: Goes on when this module is reloaded.
_numbers: "itertools.count[int]" = globals().get("_numbers") or itertools.count(1)


@contextmanager
def _outside_loop() -> Iterator[None]:
    """Lets programs use `asyncio.run` although a statement of the session, in its loop, called them."""
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(running)


class Session:
    """A Python prompt over a terminal, with a namespace, a directory and streams of its own.

    `tty` is the path of a terminal or an open descriptor, which the session does not close.
    `terminal` is its type as in `$TERM` ("dumb" for one that can do nothing), `names` are bound
    besides those of every session. `run` serves it in the calling thread; `start` in a new one.
    """

    def __init__(
        self,
        tty: str | int,
        *,
        terminal: str | None = None,
        names: dict[str, object] | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or f"session-{next(_numbers)}"
        self._owns_fd = isinstance(tty, str)
        self._fd = os.open(tty, os.O_RDWR | os.O_NOCTTY) if isinstance(tty, str) else tty
        self._terminal = terminal or os.environ.get("TERM") or "dumb"
        self._source = TtyInput(self._fd)
        self._extra = names or {}
        self._outputs: list[TextIO] = []
        self._loop = asyncio.new_event_loop()
        self._in_shell = False
        # As the namespace has them, whatever becomes of the module.
        self._lone = dict(_names.LONE)
        self._ident = 0
        self.shell = Shell(self._bound_names)
        self.environment = Environment(
            stdin=self._open_input(),
            stdout=self._open_output(),
            stderr=self._open_output(),
            main=types.ModuleType("__main__"),
        )
        self._stdin = self.environment.stdin
        self._messages = self._open_output()
        self.environment.session = self
        self.namespace: dict[str, Any] = self.environment.main.__dict__

    def _open_input(self) -> TextIO:
        return io.TextIOWrapper(io.BufferedReader(TtyReader(self._source)), encoding="utf-8", errors="replace")

    def _open_output(self) -> TextIO:
        # A descriptor of its own: what a stream could not write, its end tries again, and the number
        # of a closed terminal may belong to another session by then.
        stream = open(os.dup(self._fd), "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        self._outputs.append(stream)
        return stream

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> threading.Thread:
        """Serves the session in a new thread, which it returns; the session's end ends the thread."""
        _environment.ensure_installed()
        # A context of its own: it belongs to no session that happens to start it.
        thread = threading.Thread(target=contextvars.Context().run, args=(self.run,), name=self.name, daemon=True)
        thread.start()
        return thread

    def run(self) -> None:
        """Serves the session in the calling thread until its user leaves or its terminal goes."""
        _environment.ensure_installed()
        if threading.current_thread() is threading.main_thread():
            # A signal that comes just before the loop or `input()` waits wakes it all the same.
            signal.set_wakeup_fd(self._loop._csock.fileno(), warn_on_full_buffer=False)  # type: ignore[attr-defined]
            self._source.wake_for(self._loop._ssock.fileno())  # type: ignore[attr-defined]
        else:
            # A current directory of its own; the main thread's is that of the process.
            os.unshare(os.CLONE_FS)  # type: ignore[attr-defined]
        self._ident = threading.get_ident()
        mask = _interrupts.change_mask(signal.SIG_BLOCK, ())
        with suppress(KeyboardInterrupt):
            _interrupts.hold()
        _interrupts.direct_to_this_thread(self._fd)
        _interrupts.show_tracebacks_on_quit()
        self._set_up_terminal()
        asyncio.set_event_loop(self._loop)
        with _environment.entered(self.environment):
            self._context = contextvars.copy_context()
            try:
                self._serve()
            finally:
                self._end()
                # Who holds Ctrl-C back still has something to do that must not end half-way.
                _interrupts.change_mask(signal.SIG_SETMASK, mask)

    def _set_up_terminal(self) -> None:
        """Lets no typed character stop the output: a terminal that is a window needs no such thing."""
        import termios

        if os.isatty(self._fd):
            modes = termios.tcgetattr(self._fd)
            modes[0] &= ~termios.IXON
            termios.tcsetattr(self._fd, termios.TCSANOW, modes)

    def _serve(self) -> None:
        self.namespace.update(__name__="__main__", __builtins__=builtins)
        self.namespace.update(self._bound_names())
        self._prompt = self._choose_prompt()
        has_colours = not isinstance(self._prompt, PlainPrompt)
        self._interpreter = Interpreter(self.namespace, self.execute, has_colours=has_colours)
        self._say(_names.banner())
        try:
            self._serve_statements()
        finally:
            self._interpreter.close()

    def _serve_statements(self) -> None:
        """Asks for statements and runs them until the user leaves."""
        breakdowns = 0
        while True:
            try:
                self._serve_statement()
            except EOFError:
                self._say("")
                if not self._in_shell:
                    return
                self._in_shell = False
            except SystemExit as request:
                if request.code is not None and not isinstance(request.code, int):
                    self._say(str(request.code))
                return
            except KeyboardInterrupt:
                # It may have come while interrupts were about to be held back. As in `_run_loop`, no other can
                # come before this call.
                try:  # noqa: SIM105  (no call before it)
                    _interrupts.change_mask(signal.SIG_BLOCK, _interrupts.SIGNALS)
                except KeyboardInterrupt:
                    pass
                self._say("\nKeyboardInterrupt")
            except LineTooLong as error:
                self._say(f"\n{error}")
            except Exception as error:
                # The prompt failed, not what the user typed: the session and its variables live on.
                breakdowns += 1
                if breakdowns > 2 * _BREAKDOWNS:
                    raise
                self._say("".join(traceback.format_exception(error)).rstrip())
                if breakdowns == _BREAKDOWNS:
                    self._prompt = self._plain_prompt()

    def _end(self) -> None:
        """Ends the session; what its threads print from now on goes to the log."""
        self._close_loop()
        environment = self.environment
        log = _log.stream(self.name)
        environment.set_stream("stdout", log)
        environment.set_stream("stderr", log)
        environment.set_stream("stdin", open(os.devnull))  # noqa: SIM115  (as long as the session's threads live)
        for stream in self._outputs:
            # The terminal may have gone.
            with suppress(OSError):
                stream.close()
        if self._owns_fd:
            os.close(self._fd)

    def _say(self, text: str) -> None:
        """Tells the user something, whatever has become of `sys.stdout`."""
        # Nobody is there to read it when the terminal has gone.
        with suppress(OSError):
            self._messages.write(text + "\n")
            self._messages.flush()

    def _mend_streams(self) -> None:
        """Writes out what was printed; opens anew what a program has closed."""
        environment = self.environment
        for name in ("stdout", "stderr"):
            try:
                getattr(environment, name).flush()
            except ValueError:
                environment.restore_stream(name)
            except (AttributeError, OSError):
                # None, a full disk: what the user has put there is the user's.
                pass
            try:
                environment.original_stream(name).flush()
            except ValueError:
                environment.set_original_stream(name, self._open_output())
            except OSError:
                # The terminal has gone: the next read says so.
                continue
        if self._stdin.closed:
            self._stdin = self._open_input()
            environment.set_original_stream("stdin", self._stdin)

    # -- prompts ------------------------------------------------------------------------------

    def _choose_prompt(self) -> Prompt:
        if self._terminal == "dumb" or os.environ.get("PYTHON_BASIC_REPL") or not os.isatty(self._fd):
            return self._plain_prompt()
        try:
            from kernel.shell._full_screen import FullScreenPrompt

            return FullScreenPrompt(self._source, self._fd, self._terminal, self.namespace, self._wait)
        except Exception as error:
            # A terminal type that it does not know, say.
            self._say(f"no full-screen prompt: {error}")
            return self._plain_prompt()

    def _plain_prompt(self) -> Prompt:
        # Prompts belong on the terminal, whatever was assigned to `sys.stdout`.
        stdout = partial(self.environment.original_stream, "stdout")
        return PlainPrompt(self._source, self._wait, stdout)

    def _serve_statement(self) -> None:
        """Asks for one statement or command and runs it."""
        _environment.restore_main()
        self._mend_streams()
        self.namespace["cwd"] = current_directory()
        if self._in_shell:
            line = self._prompt.read(_SHELL_PS1, _PS2, lambda text: False)
            self._run_shell_line(line)
        else:
            ps1, ps2 = str(getattr(sys, "ps1", _PS1)), str(getattr(sys, "ps2", _PS2))
            self._run_statement(self._prompt.read(ps1, ps2, self._wants_more))

    def _wants_more(self, text: str) -> bool:
        if self._command_name(text) is not None:
            return False
        return self._interpreter.wants_more(text)

    def _is_python_name(self, word: str) -> bool:
        return word in self.namespace or hasattr(builtins, word)

    def _command_name(self, text: str) -> str | None:
        first = text.split("\n", 1)[0]
        return _words.command_name(first, self._is_python_name, lambda word: find(word) is not None)

    def _run_statement(self, text: str) -> None:
        while text.strip() and self._command_name(text) is not None:
            # Several lines may come at once, pasted.
            line, _, text = text.partition("\n")
            self._run_line(line)
        word = text.strip()
        if word in ("sh", "sh()") and self.namespace.get("sh") == self.sh:
            # Not by its call, which would hold up the tasks of the session.
            self._in_shell = True
        elif word in self._lone and self.namespace.get(word) is self._lone[word]:
            with _interrupts.allowed():
                self._lone[word]()
        elif word:
            before = current_directory()
            self._interpreter.run(text)
            self._follow_cwd(before)

    def _run_shell_line(self, line: str) -> None:
        match line.split():
            case ["exit" | "quit"]:
                self._in_shell = False
            case ["clear"]:
                _names.clear()
            case ["help"]:
                _names.LONE["help"]()
            case _:
                self._run_line(line)

    def _run_line(self, line: str) -> None:
        with _interrupts.allowed():
            self.shell.run_line(line, self._await_for_command)

    def _await_for_command(self, coroutine: Coroutine[Any, Any, object]) -> object:
        try:
            return self._await(coroutine)
        finally:
            _interrupts.allow()

    def _follow_cwd(self, before: str) -> None:
        """Goes where the user has set `cwd` to; `before` is where the session was, and `cwd` with it."""
        wanted = self.namespace.get("cwd")
        if wanted != before and isinstance(wanted, (str, os.PathLike)):
            try:
                os.chdir(wanted)
            except OSError as error:
                print(error_line("cwd", error), file=sys.stderr)

    # -- what the names of the namespace do -----------------------------------------------------

    def _bound_names(self) -> dict[str, Any]:
        return {**_names.bound(), "sh": self.sh, "run": self.run_path, **self._extra}

    def sh(self, line: str | None = None) -> None:
        """Runs a command line. Without one it opens a prompt for command lines, until `exit` or Ctrl-D."""
        with _outside_loop():
            if line is not None:
                self.shell.run_line(line)
                return
            while True:
                try:
                    typed = input(_SHELL_PS1)
                except EOFError:
                    print()
                    return
                if typed.strip() in ("exit", "quit"):
                    return
                self.shell.run_line(typed)

    def run_path(self, path: str, *arguments: str) -> None:
        """Runs a Python file as a program, with `arguments` in its `argv` after its path."""
        path = os.fspath(path)
        environment = _environment.current().derive()
        environment.argv = [path, *arguments]
        with _outside_loop(), _environment.entered(environment):
            self.shell.run_file(path, [path, *arguments])

    def input(self, prompt: object = "") -> str | None:
        """Reads a line for a program as the prompt does; None if the caller has another stdin."""
        environment = _environment.current()
        if environment.stdin is not self._stdin or threading.get_ident() != self._ident:
            return None
        sys.stdout.flush()
        return self._prompt.input(str(prompt))

    # -- the event loop -----------------------------------------------------------------------

    def _wait(self) -> None:
        """Waits until there is input; tasks run meanwhile."""
        loop = self._loop
        if loop.is_running():
            # A statement asks: tasks wait until it is done, as for any of its calls that wait.
            while not self._source.wait():
                # A signal came, perhaps just before the wait, and its handler did not raise.
                loop._read_from_self()  # type: ignore[attr-defined]
            return
        try:
            loop.add_reader(self._fd, loop.stop)
        except PermissionError:
            # A file, of which there is always something to read.
            return
        try:
            self._run_loop()
        finally:
            loop.remove_reader(self._fd)

    def _run_loop(self) -> None:
        """Runs the loop until it is stopped; Ctrl-C interrupts whatever runs in it, or its wait."""
        loop = self._loop
        try:
            _interrupts.allow()
            loop.run_forever()
            _interrupts.hold()
        except BaseException:
            # Of two in a row, the second may have interrupted what cleans up after the first. A third would
            # come in at a call of a Python function, `hold` say, before that had done anything.
            try:  # noqa: SIM105  (`suppress` would be such a call)
                _interrupts.change_mask(signal.SIG_BLOCK, _interrupts.SIGNALS)
            except KeyboardInterrupt:
                pass
            if (clean_up := getattr(loop, "_run_forever_cleanup", None)) is not None:
                clean_up()
            raise

    def execute(self, code: types.CodeType) -> None:
        """Runs code in the session's namespace, `await` at its top level included."""
        function = types.FunctionType(code, self.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            self._await(function())
        else:
            self._call_in_loop(function)

    def _call_in_loop(self, function: Callable[[], object]) -> None:
        """Calls a function where the loop counts as running, as `asyncio.create_task` wants it."""
        loop = self._loop
        failures: list[BaseException] = []

        def callback() -> None:
            try:
                function()
            except BaseException as error:
                failures.append(error)
            finally:
                loop.stop()

        handle = loop.call_soon(callback, context=self._context)
        try:
            self._run_loop()
        finally:
            # A Ctrl-C that comes before the loop runs leaves it there: the next prompt's wait would call it.
            handle.cancel()
        if failures:
            raise failures[0]

    def _await(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Runs the loop until a coroutine is done; Ctrl-C cancels it."""
        loop = self._loop
        task = loop.create_task(coroutine, context=self._context)
        task.add_done_callback(lambda _: loop.stop())
        try:
            self._run_loop()
        except BaseException:
            if not task.done():
                task.cancel()
                # A second Ctrl-C leaves a task alone that does not end.
                self._run_loop()
            if not task.cancelled() and task.done():
                task.exception()
            raise
        return task.result()

    def _close_loop(self) -> None:
        loop = self._loop
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            gathered = asyncio.gather(*tasks, return_exceptions=True)
            gathered.add_done_callback(lambda _: loop.stop())
            loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
