"""Talks to a virtual machine over its serial line.

`Console` starts QEMU and matches what it prints; `Guest` adds calls of Python
functions inside, through `tests/guest/agent.py`. Every wait has a deadline, every
failure shows the end of the console, and every machine ends: by itself, or
killed when its context ends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TAIL_LINES = 40


class ConsoleError(AssertionError):
    """The console did not show what was expected; the message ends with its tail."""


class MachineEnded(ConsoleError):
    """The machine ended before the console showed what was expected."""


class GuestError(AssertionError):
    """A function called in the guest raised an exception; the message is its traceback."""


class Console:
    """The serial console of one running virtual machine.

    One thread uses it; a thread of its own collects what the machine prints.
    """

    def __init__(self, command: Sequence[str], transcript: Path | None = None) -> None:
        self._command = list(command)
        self._transcript = transcript
        self._output = bytearray()
        self._arrivals: list[tuple[int, float]] = []
        self._changed = threading.Condition()
        self._ended = False
        self._position = 0
        self._errors = bytearray()

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self._threads = [threading.Thread(target=self._collect), threading.Thread(target=self._collect_errors)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self._transcript is not None:
            self._transcript.parent.mkdir(parents=True, exist_ok=True)
            self._transcript.write_bytes(self._output + self._errors)

    @property
    def pid(self) -> int:
        """The process id of the virtual machine."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Returns the CPU time that the virtual machine has used on the host (Linux hosts only)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, text: str | bytes) -> None:
        """Types `text`."""
        data = text.encode() if isinstance(text, str) else text
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except BrokenPipeError:
            raise self._failure("the machine ended before it could be typed to", MachineEnded) from None

    def expect(self, pattern: str | bytes, timeout: float = 30.0) -> re.Match[bytes]:
        """Waits until the regular expression matches what was printed since the last match.

        What comes before the match is passed over; text after it stays for the next call.
        The machine prints piecemeal, so a pattern should end in something definite.
        """
        compiled = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                match = compiled.search(self._output, self._position)
                if match is not None:
                    self._position = match.end()
                    return match
                if self._ended:
                    raise self._failure(f"the machine ended while {pattern!r} was awaited", MachineEnded)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise self._failure(f"{pattern!r} did not appear within {timeout:g} s")
                self._changed.wait(remaining)

    def shows(self, pattern: str | bytes, timeout: float) -> bool:
        """Returns whether `expect` would find the pattern; passes over it if so."""
        try:
            self.expect(pattern, timeout)
        except ConsoleError:
            return False
        return True

    def seconds_until(self, match: re.Match[bytes]) -> float:
        """Returns how long after the start of the machine the last byte of `match` arrived."""
        with self._changed:
            for end, when in self._arrivals:
                if end >= match.end():
                    return when - self.started
        raise ValueError("the match is not from this console")

    def skip(self) -> None:
        """Passes over everything that was printed so far."""
        with self._changed:
            self._position = len(self._output)

    def text(self) -> str:
        """Returns everything that was printed so far."""
        with self._changed:
            return self._output.decode(errors="replace").replace("\r\n", "\n")

    def wait_for_exit(self, timeout: float = 30.0) -> int:
        """Waits until the machine ends by itself; returns QEMU's exit status."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._failure(f"the machine was still running after {timeout:g} s") from None
        for thread in self._threads:
            thread.join()
        return status

    def is_running(self) -> bool:
        """Returns whether the machine has not ended."""
        return self._process.poll() is None

    def pause(self) -> None:
        """Stops the virtual machine's process, as a host that has no time for it does."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets the virtual machine's process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _collect(self) -> None:
        assert self._process.stdout is not None
        while data := self._process.stdout.read(65536):
            with self._changed:
                self._output += data
                self._arrivals.append((len(self._output), time.monotonic()))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _collect_errors(self) -> None:
        assert self._process.stderr is not None
        while data := self._process.stderr.read(65536):
            with self._changed:
                self._errors += data

    def _failure(self, what: str, kind: type[ConsoleError] = ConsoleError) -> ConsoleError:
        status = self._process.poll()
        state = "still running" if status is None else f"ended with status {status}"
        with self._changed:
            lines = self._output.decode(errors="replace").splitlines()[-TAIL_LINES:]
            errors = self._errors.decode(errors="replace").splitlines()[-TAIL_LINES:]
        tail = "\n".join(f"    {line!r}"[:400] for line in lines)
        said = "\n".join(f"    {line}" for line in errors)
        return kind(
            f"{what}; the machine is {state}; the end of its console:\n{tail}"
            + (f"\nQEMU said:\n{said}" if said else "")
        )


class Guest:
    """A virtual machine whose Python waits for calls (tests/guest/agent.py).

    One thread uses it.
    """

    def __init__(self, command: Sequence[str], boot_timeout: float = 60.0, transcript: Path | None = None) -> None:
        self.console = Console(command, transcript)
        self._boot_timeout = boot_timeout

    def __enter__(self) -> Self:
        self.console.__enter__()
        try:
            ready = self.console.expect(rb"@ready (\d+)\r?\n", self._boot_timeout)
            #: Seconds from the start of QEMU until the first statement in Python ran.
            self.boot_seconds = self.console.seconds_until(ready)
        except BaseException as error:
            self.console.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.console.__exit__(kind, error, traceback)

    def call(self, function: str, *arguments: object, timeout: float = 60.0) -> Any:
        """Runs `module.function(*arguments)` of tests/guest in the guest and returns its result.

        The reply carries a digest that the guest makes of its result and of a word chosen
        here for this one call, so that neither an echo nor an old reply passes for it.
        """
        word = self.post(function, *arguments)
        return self.reply(word, function, timeout)

    def post(self, function: str, *arguments: object) -> str:
        """Starts a call without waiting for its reply; returns what `reply` needs."""
        word = secrets.token_hex(16)
        request = json.dumps({"word": word, "function": function, "arguments": arguments})
        self.console.send(base64.b64encode(request.encode()) + b"\n")
        return word

    def reply(self, word: str, function: str, timeout: float = 60.0) -> Any:
        """Waits for the reply to a call made by `post` and returns its result."""
        match = self.console.expect(rb"@reply ([0-9a-f]{64}) ([A-Za-z0-9+/=]+)\r?\n", timeout)
        payload = base64.b64decode(match[2])
        digest = hashlib.sha256(word.encode() + payload).hexdigest()
        if match[1].decode() != digest:
            raise ConsoleError(f"the reply to {function} was not computed for this call: {payload[:200]!r}")
        answer = json.loads(payload)
        if "error" in answer:
            raise GuestError(f"{function} failed in the guest:\n{answer['error']}")
        return answer["result"]

    def is_alive(self) -> bool:
        """Returns whether the machine runs and answers calls."""
        if not self.console.is_running():
            return False
        try:
            return bool(self.call("agent.echo", "alive", timeout=20) == "alive")
        except ConsoleError:
            return False


class Prompt(Console):
    """The machine's own Python prompt, driven as a user does.

    After each method the machine is at a prompt, but for `type_line` and `send`.
    """

    def __init__(self, command: Sequence[str], transcript: Path | None = None, *, full_screen: bool = False) -> None:
        super().__init__(command, transcript)
        # The full-screen prompt draws its line anew with every key; it asks the terminal
        # for bracketed paste once, when it begins to read a new statement.
        self._prompt = rb"\x1b\[\?2004h(.|\s)*?>>> " if full_screen else rb">>> "

    def wait_for_prompt(self, timeout: float = 60.0) -> None:
        """Waits for the next prompt."""
        self.expect(self._prompt, timeout)

    def type_line(self, line: str) -> None:
        """Types one line and the Enter key."""
        self.send(line + "\r")

    def run(self, line: str, timeout: float = 30.0) -> None:
        """Types one statement and waits until it is done."""
        self.type_line(line)
        self.wait_for_prompt(timeout)

    def output(self, line: str, until: str = ">>> ", timeout: float = 60.0) -> str:
        """Types one line; returns what is printed before the prompt `until`, without the echo of the line.

        For terminals that show what is typed as it is.
        """
        self.skip()
        self.type_line(line)
        match = self.expect(rf"{re.escape(line)}\r*\n((?:.|\n)*?){re.escape(until)}", timeout)
        return match[1].decode().replace("\r", "")

    def interrupt(self) -> float:
        """Types Ctrl-C and waits for the next prompt; returns the seconds until KeyboardInterrupt showed."""
        self.skip()
        typed = time.monotonic()
        self.send(b"\x03")
        seen = self.expect("KeyboardInterrupt", 20)
        self.wait_for_prompt(20)
        return self.started + self.seconds_until(seen) - typed

    def evaluate(self, expression: str, timeout: float = 30.0) -> str:
        """Types an expression and returns its `repr`, as the guest printed it.

        The answer is found by the product of two numbers that only the guest computes,
        so the echo of the line is no answer.
        """
        a, b = secrets.randbelow(10**9) + 10**9, secrets.randbelow(10**9) + 10**9
        self.type_line(f"print({a}*{b}, repr({expression}))")
        answer = self.expect(rf"{a * b} (.*?)\r*\n", timeout)[1].decode()
        self.wait_for_prompt(timeout)
        return answer
