"""Sessions over pseudo-terminals, driven from inside; runs in the guest."""

from __future__ import annotations

import logging
import os
import random
import select
import threading
import time
from contextlib import ExitStack, suppress

from kernel.shell import Session

_PROMPT = ">>> "

#: Sessions import this module, and meet here: one is `inside` something, and goes on when it may `leave`.
inside, leave = threading.Event(), threading.Event()


class User:
    """Types at a session's terminal and reads what it shows."""

    def __init__(self, name: str) -> None:
        self._master, terminal = os.openpty()
        self.session = Session(os.ttyname(terminal), terminal="dumb", name=name)
        os.close(terminal)
        self.thread = self.session.start()
        self.shown = ""
        self.expect(_PROMPT)

    def __enter__(self) -> User:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._master)
        self.thread.join(20)
        assert not self.thread.is_alive(), "the session goes on without its terminal"

    def send(self, data: bytes) -> None:
        """Types bytes."""
        while data:
            data = data[os.write(self._master, data[:1024]) :]

    def expect(self, text: str, timeout: float = 20.0) -> str:
        """Waits until `text` is shown; returns what was shown before it since the last call."""
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} was not shown within {timeout} s, but {self.shown[-300:]!r}"
            self.shown += os.read(self._master, 65536).decode(errors="replace")
        before, _, self.shown = self.shown.partition(text)
        return before.replace("\r\n", "\n")

    def take(self, seconds: float) -> None:
        """Takes what is shown meanwhile."""
        deadline = time.monotonic() + seconds
        while select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            self.shown += os.read(self._master, 65536).decode(errors="replace")

    def run(self, line: str, timeout: float = 20.0) -> str:
        """Types a line; returns what it prints, without its echo."""
        self.send(line.encode() + b"\r")
        self.expect(line.splitlines()[-1] + "\r\n", timeout)
        return self.expect(_PROMPT, timeout)


def talk(lines: list[str]) -> list[str]:
    """Has a session run lines; returns what each printed."""
    with User("talk") as user:
        return [user.run(line) for line in lines]


def crowd(count: int) -> list[list[str]]:
    """Has many sessions at once each keep a name, a directory and its output; returns what each shows."""
    with ExitStack() as stack:
        users = [stack.enter_context(User(f"user{number}")) for number in range(count)]
        for number, user in enumerate(users):
            user.run(f"import os, threading, sys; mine = {number}; os.makedirs('/tmp/crowd{number}', exist_ok=True)")
            user.run(f"cwd = '/tmp/crowd{number}'")
        # In all of them at the same time.
        line = "t = threading.Thread(target=lambda: print('thread', mine, os.getcwd())); t.start(); t.join()"
        for user in users:
            user.send(line.encode() + b"\r")
        shown = []
        for user in users:
            user.expect("t.join()\r\n")
            shown.append([user.expect(_PROMPT), user.run("pwd"), user.run("mine, _ == None if '_' in globals() else 0")])
    return shown


def delay_beside_a_spinner() -> list[float]:
    """Returns how long `1+1` takes in one session while another is in an endless loop; then Ctrl-C ends that."""
    with User("busy") as busy, User("other") as other:
        busy.send(b"exec('while True: pass')\r")
        busy.expect("pass')\r\n")
        delays = []
        for _ in range(10):
            start = time.monotonic()
            assert other.run("1+1") == "2\n"
            delays.append(time.monotonic() - start)
        busy.send(b"\x03")
        assert busy.expect(_PROMPT).endswith("KeyboardInterrupt\n")
        assert busy.run("6*7") == "42\n"
    return delays


def late_words() -> str:
    """Returns the log's line about what a thread printed after its session's end."""
    word = os.urandom(8).hex()
    with User("short") as user:
        user.run("import threading, time")
        user.run(f"threading.Thread(target=lambda: (time.sleep(1), print('late {word}'))).start()")
        user.send(b"exit()\r")
        user.thread.join(10)
    time.sleep(2)
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    found = "nothing"
    with suppress(BlockingIOError):
        while found == "nothing":
            line = os.read(fd, 8192).decode()
            if word in line:
                found = line.partition(";")[2].replace(word, "WORD").strip()
    os.close(fd)
    return found


def survives(data_size: int) -> list[str]:
    """Sends a line of so many bytes, then random bytes; returns what is said of the line, and of 1+1 after it all."""
    with User("victim") as user:
        user.send(b"x = '" + b"a" * data_size + b"'\r")
        said = user.expect("\nthe line is too long", 60) and "the line is too long" + user.expect(_PROMPT)
        # Ctrl-D at the start of a line would end the session, as it should.
        user.send(os.urandom(4096).replace(b"\x04", b"") + b"\x03\r")
        time.sleep(1)
        user.send(b"\r\x03")
        word = os.urandom(4).hex()
        time.sleep(1)
        user.send(f"print('{word}'[::-1])\r".encode())
        user.expect(word[::-1])
        user.expect(_PROMPT)
        return [said.strip(), user.run("1+1")]


def interrupts_in_a_row(rounds: int) -> int:
    """Types Ctrl-C several times in a row, many times, a sum in between; returns how often it then still computes."""
    chance = random.Random(rounds)
    answers = 0
    with User("impatient") as user:
        for number in range(rounds):
            for _ in range(60):
                for _ in range(chance.choice((2, 3, 4, 5, 8))):
                    user.send(b"\x03")
                    time.sleep(max(0.0, chance.random() - 0.5) * 0.002)
                if chance.random() < 0.3:
                    user.send(b"1+1\r")
                user.take(chance.random() * 0.004)
            # The last Ctrl-C may yet throw away what is typed after it: as a user would, again.
            while str(number + 1001) not in user.shown:
                user.send(f"\rprint({number + 1} + 1000)\r".encode())
                user.take(1)
            answers += 1
    return answers


def paste(count: int) -> str:
    """Pastes many lines at once; returns the sum that they make."""
    with User("paste") as user:
        user.run("total = 0")
        user.send(b"".join(b"total += %d\r" % number for number in range(count)))
        user.send(b"print('sum', total)\r")
        user.expect("sum " + str(sum(range(count))), 60)
        user.expect(_PROMPT)
        return user.run("total")


def reload_an_edited_module() -> list[str]:
    """Has one session edit a method of the kernel's scheduler and reload it; returns what sessions then see of it.

    First what they saw before, last what they see once the file is as it was.
    """
    from kernel import scheduler as module

    path = f"/lib/python3.14/site-packages/kernel/{os.path.basename(module.__file__)}"
    with open(path) as file:
        text = file.read()
    with User("editor") as editor, User("other") as other:
        other.run("task = scheduler.spawn(int, name='spawned before'); _ = task.join()")
        seen = [other.run("scheduler.uptime_ms() == 90061000")]
        try:
            editor.send(f"ed -s {path}\r".encode())
            for command in ("/def uptime_ms/", "/return/s/return .*/return 90061000/", "w", "q"):
                editor.send(command.encode() + b"\r")
            # The terminal echoes what is typed ahead; `ed` prints the line that it finds, and nothing else.
            editor.expect("\n    def uptime_ms")
            editor.expect(_PROMPT)
            seen.append(editor.run("scheduler.uptime_ms() == 90061000"))
            editor.run("import importlib; _ = importlib.reload(kernel.scheduler)")
            seen += [user.run("scheduler.uptime_ms()") for user in (editor, other)]
            seen.append(other.run("sh('sysinfo | grep Uptime')"))
            seen.append(other.run("task in scheduler.reap()"))
        finally:
            with open(path, "w") as file:
                file.write(text)
            editor.run("_ = importlib.reload(kernel.scheduler)")
        seen.append(other.run("scheduler.uptime_ms() == 90061000"))
    return seen


def print_beside(context: str, body: str, other_line: str) -> list[str]:
    """Has one session run `body` inside a context manager while another runs a line there, too.

    Returns what the other printed, and then the one's `text` and `caught`, and what it prints afterwards.
    """
    inside.clear()
    leave.clear()
    with User("one") as one, User("other") as other:
        for user in (one, other):
            user.run("import contextlib, io, logging, sessions, sys, warnings; text, caught = io.StringIO(), []")
        one.send(f"with {context}: sessions.inside.set(); may = sessions.leave.wait(); {body}\r\r".encode())
        assert inside.wait(20)
        try:
            printed = [other.run(other_line)]
        finally:
            leave.set()
        one.expect("... ")
        one.expect(_PROMPT)
        printed.append(one.run("print(repr(text.getvalue()), [str(each.message) for each in caught])"))
        printed.append(one.run("print('afterwards')"))
    return printed


def log_beside() -> list[str]:
    """Has two sessions log and warn by turns; returns what each prints."""
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        with User("one") as one, User("other") as other:
            users = (one, other)
            for user in users:
                user.run("import logging, sys")
            return [user.run(f"logging.warning('of %s', {number})") for number, user in enumerate((*users, *users))]
    finally:
        root.handlers[:] = before


def programs(text: str) -> list[str]:
    """Has a session run a program in every way; returns what each printed, and what a session beside it shows."""
    path = "/tmp/program.py"
    with open(path, "w") as file:
        file.write(text)
    with User("runs") as user, User("beside") as beside:
        shown = [user.run(line) for line in (f"run({path!r})", f"sh({path!r})", f"sh('{path} | cat')")]
        user.send(f"sh('{path} &')\r".encode())
        user.expect(f"[1] {path}\r\n")
        # The prompt comes before it or after it.
        user.expect(shown[0].replace("\n", "\r\n"))
        user.send(b"\r")
        user.expect(_PROMPT)
        shown.append(user.run("sh()\r" + path + "\rexit").replace("$ ", ""))
        shown.append(beside.run("1+1"))
    os.unlink(path)
    return shown
