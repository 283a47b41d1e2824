"""Runs commands: files of /bin, Python files by path, pipelines of them.

Each command runs in an environment of its own (streams, `sys.argv`, `__main__`) derived from its
caller's. Its globals are the names of the kernel namespace, `argv` and `cwd`; a command that assigns
`cwd` moves its session. All but the last command of a pipeline run in threads.
"""

import ast
import contextvars
import errno
import inspect
import io
import linecache
import os
import sys
import threading
import types
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TextIO, cast

from kernel._errors import CommandError
from kernel.command import error_line
from kernel.shell import _environment, _interrupts, _words
from kernel.shell._constants import share_constants
from kernel.shell._words import Command, Pipeline, ShellSyntaxError

#: Where commands are.
FOLDER = "/bin"

#: Awaits what a script with top-level `await` gives; returns when it is done.
Await = Callable[[Coroutine[Any, Any, object]], object]


class Shell:
    """Runs command lines with the names of one session. Threads may share it."""

    def __init__(self, names: Callable[[], dict[str, object]]) -> None:
        self._names = names
        self._jobs = 0

    def run_line(self, line: str, await_: Await | None = None) -> int:
        """Runs a command line; returns the status of its last command, 0 for success.

        `await_` awaits what a command with top-level `await` gives, and is by default a loop of the
        command's own.
        """
        try:
            pipelines = _words.parse(line)
        except ShellSyntaxError as error:
            _complain("sh", str(error))
            return 2
        status = 0
        for pipeline in pipelines:
            if pipeline.in_background:
                self._jobs += 1
                print(f"[{self._jobs}] {pipeline.source}")
                self._thread(self._run_pipeline, pipeline, None, name=pipeline.source).start()
                status = 0
            else:
                status = self._run_pipeline(pipeline, await_)
        return status

    def _run_pipeline(self, pipeline: Pipeline, await_: Await | None) -> int:
        environment = _environment.current()
        stdin: TextIO | None = None
        threads: list[threading.Thread] = []
        try:
            for command in pipeline.commands[:-1]:
                read_end, write_end = os.pipe()
                streams: dict[str, TextIO] = {"stdout": open(write_end, "w", encoding="utf-8", errors="surrogateescape")}  # noqa: SIM115
                if stdin is not None:
                    streams["stdin"] = stdin
                stage = environment.derive(**streams)
                thread = self._thread(self._run_stage, command, stage, list(streams.values()), name=command.words[0].text)
                stdin = open(read_end, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
                threads.append(thread)
                thread.start()
            last = environment.derive(**({} if stdin is None else {"stdin": stdin}))
            try:
                return self._run_command(pipeline.commands[-1], last, await_)
            finally:
                # Whoever still writes to the last command finds the pipe broken.
                if stdin is not None:
                    stdin.close()
                for thread in threads:
                    thread.join()
        except KeyboardInterrupt:
            for thread in threads:
                _interrupts.interrupt(thread)
            raise

    def _thread(self, function: Callable[..., object], *arguments: object, name: str) -> threading.Thread:
        """Returns a thread that works in the caller's environment, with the GIL, too."""
        context = contextvars.copy_context()
        return threading.Thread(target=context.run, args=(function, *arguments), name=name)

    def _run_stage(self, command: Command, environment: _environment.Environment, streams: list[TextIO]) -> None:
        """Runs a command whose output somebody else reads, to its end."""
        try:
            self._run_command(command, environment, None)
        except (BrokenPipeError, KeyboardInterrupt):
            pass
        finally:
            for stream in streams:
                # What was left in the buffer may have no reader any more.
                with suppress(BrokenPipeError):
                    stream.close()

    def _run_command(
        self, command: Command, environment: _environment.Environment, await_: Await | None
    ) -> int:
        environment.argv = command.argv()
        files: list[TextIO] = []
        try:
            for operator, word in command.redirections:
                files.append(_redirect(operator, word, environment))
            with _environment.entered(environment):
                try:
                    return self.run(environment.argv, await_)
                finally:
                    environment.stdout.flush()
        except OSError as error:
            # A redirection's, or of what was still to be written.
            if isinstance(error, BrokenPipeError):
                raise
            print(error_line("sh", error), file=sys.stderr)
            return 1
        finally:
            for file in files:
                file.close()

    def run(self, argv: list[str], await_: Await | None = None) -> int:
        """Runs the command `argv` in the current environment; returns its status, 0 for success."""
        name = argv[0]
        path = find(name)
        if path is None:
            _complain(name, "command not found")
            return 127
        try:
            self.run_file(path, argv, await_)
        except BrokenPipeError:
            # The reader of its output has seen enough.
            return 1
        except (CommandError, OSError) as error:
            print(error_line(name, error), file=sys.stderr)
            return 1
        except SystemExit as request:
            return _status(request)
        except Exception as error:
            # A bug in the command: its traceback begins in its file, not here.
            _show(error, path)
            return 1
        return 0

    def run_file(self, path: str, argv: list[str], await_: Await | None = None) -> None:
        """Runs a Python file in the current environment as the program `argv`."""
        code, source = compile_file(path)
        main = types.ModuleType("__main__")
        main.__dict__.update(self._names())
        before = current_directory()
        main.__dict__.update(__builtins__=__builtins__, __file__=path, argv=argv, cwd=before)
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
        environment = _environment.current()
        caller, environment.main = environment.main, main
        try:
            result = types.FunctionType(code, main.__dict__)()
            if inspect.iscoroutine(result):
                (await_ or await_apart)(result)
        finally:
            environment.main = caller
            wanted = main.__dict__.get("cwd")
            if wanted != before and isinstance(wanted, (str, os.PathLike)):
                os.chdir(wanted)


def _redirect(operator: str, word: _words.Word, environment: _environment.Environment) -> TextIO:
    """Has a stream of `environment` go to or come from the file that `word` names; returns it."""
    mode = {"<": "r", ">": "w", ">>": "a"}[operator]
    names = word.expand()
    if len(names) != 1:
        raise OSError(errno.EINVAL, "ambiguous redirect", word.text)
    file = cast(TextIO, open(names[0], mode, encoding="utf-8", errors="surrogateescape"))  # noqa: SIM115
    if operator == "<":
        environment.set_stream("stdin", file)
    else:
        environment.set_stream("stdout", file)
    return file


def find(name: str) -> str | None:
    """Returns the file of a command, or of a Python file that is named by its path."""
    if name.endswith(".py"):
        return name
    path = f"{FOLDER}/{name}.py"
    return path if "/" not in name and os.path.isfile(path) else None


def current_directory() -> str:
    """Returns the current directory; an empty path, which leads nowhere, if somebody has removed it."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def compile_file(path: str) -> tuple[types.CodeType, str]:
    """Compiles a Python file, top-level `await` allowed; returns its code and its text."""
    with io.open_code(os.path.abspath(path)) as file:
        data = file.read()
    code = compile(data, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return share_constants(code), data.decode(errors="replace")


def documentation(path: str) -> str:
    """Returns the docstring of a Python file."""
    with io.open_code(path) as file:
        text = ast.get_docstring(ast.parse(file.read()))
    return text or "No documentation."


def await_apart(coroutine: Coroutine[Any, Any, object]) -> object:
    """Runs a coroutine to its end in a loop of its own, also where the calling thread runs one."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # A thread runs one loop at a time: another thread runs the other.
    results: list[object] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            results.append(asyncio.run(coroutine))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(body,), name="await")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        _interrupts.interrupt(thread)
        raise
    if failures:
        raise failures[0]
    return results[0]


def _complain(name: str, text: str) -> None:
    print(f"{name}: {text}", file=sys.stderr)


def _status(request: SystemExit) -> int:
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code
    print(request.code, file=sys.stderr)
    return 1


def _show(error: Exception, path: str) -> None:
    """Prints a traceback without the frames of the shell."""
    import traceback

    entry = error.__traceback__
    while entry is not None and entry.tb_frame.f_code.co_filename != path:
        entry = entry.tb_next
    traceback.print_exception(error.with_traceback(entry))
