"""The Python shell over TCP, as a program on the host meets it."""

from __future__ import annotations

import errno
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from harness.connect import Output, greeting
from harness.machines import HostWaits, Machines, Shape
from harness.serial import Prompt

#: The machine's port.
PORT = 5000
#: Sessions at once, and clients that have not given the token.
LIMIT, STRANGERS = 64, 8
#: Longer than any answer takes on a busy host.
PATIENCE = 60.0

Connect = Callable[[], "Client"]


class Client:
    """One connection, read up to what is expected."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._text = b""

    def send(self, data: bytes) -> None:
        """Sends bytes."""
        self.socket.sendall(data)

    def _receive(self) -> bytes:
        return self.socket.recv(1 << 16)

    def expect(self, wanted: bytes) -> bytes:
        """Reads until `wanted` has come; returns what came before it."""
        while wanted not in self._text:
            data = self._receive()
            assert data, f"closed before {wanted!r}: {self._text[-500:]!r}"
            self._text += data
        before, _, self._text = self._text.partition(wanted)
        return before

    def prompt(self) -> str:
        """Reads up to the next prompt; returns what came before it."""
        return self.expect(b">>> ").decode()

    def run(self, lines: str) -> str:
        """Types statements; returns what they print."""
        self.send(lines.encode())
        return self.prompt()

    def rest(self) -> bytes:
        """Reads to the end."""
        while data := self._receive():
            self._text += data
        return self._text

    def is_silent(self) -> bool:
        """Tells whether nothing has come that was not expected."""
        self.socket.setblocking(False)
        try:
            self._text += self._receive()
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(PATIENCE)
        return not self._text


class TelnetClient(Client):
    """One that has a terminal."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._output = Output()
        self.send(greeting("xterm-256color"))

    def _receive(self) -> bytes:
        shown = b""
        while not shown:
            if not (data := super()._receive()):
                return b""
            shown = self._output.receive(data)
        return shown


def free_port() -> int:
    """Returns a port of the host that is free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Served:
    """A machine whose port 5000 a port of the host leads to."""

    def __init__(self, console: Prompt, port: int) -> None:
        self.console = console
        self.port = port
        console.run("import gc, os, re, socket, threading")

    def wait_until_alone(self) -> None:
        """Waits until no session but the console's is left."""
        deadline = time.monotonic() + PATIENCE
        while int(self.console.evaluate("sum(t.name.startswith('tcp-') for t in threading.enumerate())")):
            assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def served(machines: Machines) -> Iterator[Served]:
    """A machine as `make run` starts it."""
    machines.close()
    port = free_port()
    with machines.prompt(Shape(append=("repl.listen=user-net",)), forwards={port: PORT}) as console:
        yield Served(console, port)


@pytest.fixture
def connect(served: Served) -> Iterator[Connect]:
    """Opens connections to it, which end with the test."""
    with ExitStack() as stack:

        def make() -> Client:
            client = Client(served.port)
            stack.callback(client.socket.close)
            return client

        yield make
    served.wait_until_alone()


def test_a_plain_client_has_a_session(connect: Connect) -> None:
    client = connect()
    banner = client.prompt()
    assert re.fullmatch(
        r"PythonOS kernel shell\nPython 3\.14\.\d+ [^\n]+\nType 'help' for help\.\nCommands: [^\n]+\nHelpers: [^\n]+\n", banner
    )
    assert client.run("1+1\n") == "2\n"
    assert client.run("1/0\n").endswith("\nZeroDivisionError: division by zero\n")
    client.send(b"def double(x):\n  return 2 * x\n\n")
    assert client.prompt() == "... ... "
    # As some clients end their lines.
    assert client.run("double(21)\r\n") == "42\n"
    assert {"cat.py", "ls.py"} <= set(client.run("ls /bin\n").split())
    assert client.run("await asyncio.sleep(0.1, 'slept')\n") == "'slept'\n"
    client.send(b"sh()\n")
    assert client.expect(b"$ ") == b""
    client.send(b"cd /tmp\npwd\nexit\n")
    assert client.prompt() == "$ /tmp\n$ "
    client.send(b"exit()\n")
    assert client.rest() == b""


def test_what_is_piped_in_is_answered_to_its_end(connect: Connect) -> None:
    client = connect()
    client.send(b"print(6 * 7)\n" * 100 + b"'last' * 2")
    client.socket.shutdown(socket.SHUT_WR)
    shown = client.rest()
    assert (shown.count(b">>> 42\n"), shown.count(b"'lastlast'\n")) == (100, 1)


def test_what_a_pipe_has_started_is_waited_for(connect: Connect) -> None:
    client = connect()
    client.send(b"import time; time.sleep(2.5); 6 * 7\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert b">>> 42\n" in client.rest()


def test_ctrl_c_interrupts_that_session_alone(connect: Connect, served: Served) -> None:
    loops, sleeps = connect(), connect()
    for client, lines in ((loops, "while True: pass\n\n"), (sleeps, "import time; time.sleep(1000)\n")):
        client.prompt()
        client.send(f"print('begun', flush=True)\n{lines}".encode())
        client.expect(b"begun\n>>> ")
    loops.expect(b"... ")
    loops.send(b"\x03")
    assert "KeyboardInterrupt\n" in loops.prompt()
    assert served.console.evaluate("6 * 7") == "42"
    assert sleeps.is_silent()
    # IP, as `telnet` sends it; it wants to know of the mark that follows.
    sleeps.send(b"\xff\xf4\xff\xfd\x06")
    assert sleeps.expect(b"\xff\xfc\x06") == b""
    assert "KeyboardInterrupt\n" in sleeps.prompt()
    assert (loops.run("1\n"), sleeps.run("2\n")) == ("1\n", "2\n")


def test_ctrl_c_in_the_moment_that_a_statement_begins_ends_it(connect: Connect) -> None:
    client = connect()
    client.prompt()
    for number in range(20):
        client.send(b"while True: pass\n\n")
        client.expect(b"... ")
        client.send(b"\x03")
        client.expect(b"KeyboardInterrupt\n>>> ")
        assert client.run(f"{number} * 7\n") == f"{number * 7}\n"


def test_a_raw_terminal_has_an_editor(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "97")
    monkeypatch.setenv("LINES", "31")
    client = TelnetClient(served.port)
    with client.socket:
        # For each statement it asks the terminal for bracketed paste.
        client.expect(b"\x1b[?2004h")
        client.send(b"import os, sys; print(*os.get_terminal_size(sys.stdout.fileno()), 6 * 7)\r\0")
        client.expect(b"97 31 42\r\n")
        client.send(b"\xff\xfa\x1f\0\x50\0\x18\xff\xf0print(*os.get_terminal_size(sys.stdout.fileno()), 6 * 8)\r\0")
        client.expect(b"80 24 48\r\n")
        # The first statement but one, changed at its end.
        client.expect(b"\x1b[?2004h")
        client.send(b"\x1bOA\x1bOA\x7f, 2 ** 20)\r\0")
        client.expect(b"80 24 42 1048576\r\n")
        client.expect(b"\x1b[?2004h")
        client.send(b"while True: pass\r\0\r\0")
        client.expect(b"\x1b[?2004l")
        client.send(b"\xff\xf4")
        client.expect(b"KeyboardInterrupt")
        client.expect(b"\x1b[?2004h")
        client.send(b"exit()\r\0")
        client.rest()


def test_as_many_as_there_may_be_are_kept_apart(connect: Connect) -> None:
    clients = []
    for _ in range(LIMIT):
        clients.append(connect())
        # QEMU's line of those who wait is one long: the host drops who comes at the same moment.
        clients[-1].prompt()
    words = [(secrets.randbelow(10**9) + 10**9, secrets.token_hex(8)) for _ in clients]
    for client, (number, word) in zip(clients, words, strict=True):
        client.send(f"word = '{word}'; number = {number}\n".encode())
    for client in clients:
        client.send(b"print('<', number * number, word[::-1], '>')\n")
    for client, (number, word) in zip(clients, words, strict=True):
        client.expect(b"< ")
        assert client.expect(b" >\n").decode() == f"{number * number} {word[::-1]}"
    beyond = connect()
    # It may have typed already.
    beyond.send(b"6 * 7\n")
    assert beyond.rest() == b"PythonOS: 64 sessions are open, which is the most; try again when one has ended\r\n"
    clients[0].send(b"exit()\n")
    clients[0].rest()
    assert connect().prompt().startswith("PythonOS kernel shell\n")


def test_users_talk_to_each_other(connect: Connect, served: Served) -> None:
    ann, bob = connect(), TelnetClient(served.port)
    with bob.socket:
        bob.expect(b"\x1b[?2004h")
        bob.send(b"chat.nick('bob')\r\0")
        bob.expect(b"\x1b[?2004h")
        ann.prompt()
        ann.run("chat.nick('ann')\n")
        # Somebody of an earlier test may not have ended yet.
        assert ann.run("[name for name in chat.who() if not name.startswith('tcp-')]\n") == "['ann', 'bob']\n"
        assert ann.run("number = 1234567; chat.send(number * number)\n") == ""
        bob.expect(b"\r\nann: %d\r\n" % 1234567**2)
        bob.send(b"number = 7654321; chat.send(number * number)\r\0")
        ann.expect(b"\r\nbob: %d\r\n" % 7654321**2)
    assert served.console.evaluate("'chat' in globals()") == "False"


def test_output_arrives_whole(connect: Connect) -> None:
    client = connect()
    client.prompt()
    client.run("import hashlib, os; text = os.urandom(5 << 20).hex()\n")
    client.send(b"print('<' + text + '>', hashlib.sha256(text.encode()).hexdigest(), 'end')\n")
    client.expect(b"<")
    text = client.expect(b"> ")
    assert len(text) == 10 << 20
    assert client.expect(b" end\n").decode() == hashlib.sha256(text).hexdigest()


def test_who_does_not_read_holds_up_nobody_else(connect: Connect, served: Served) -> None:
    deaf, other = connect(), connect()
    other.prompt()
    other.run("import builtins; builtins.printed = 0\n")
    deaf.send(b"import builtins\nwhile True: builtins.printed += 1; print('x' * 10000)\n\n")
    # It prints until nothing takes more.
    count, before = 0, -1
    deadline = time.monotonic() + PATIENCE
    while count != before or count < 10:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        before, count = count, int(other.run("builtins.printed\n"))
    assert served.console.evaluate("6 * 7") == "42"
    # It misses what is said, too.
    assert other.run("chat.send('hello')\n") == ""
    # It is still there when somebody reads.
    deaf.send(b"\x03")
    deaf.expect(b"KeyboardInterrupt\n")
    # What `print` had begun to write comes last.
    deaf.prompt()
    assert deaf.run("6 * 7\n") == "42\n"


@pytest.mark.timing
def test_an_endless_loop_delays_nobody_else(connect: Connect, served: Served) -> None:
    loops, other = connect(), connect()
    loops.prompt()
    other.prompt()
    loops.send(b"while True: pass\n\n")
    loops.expect(b"... ")
    waits = HostWaits(served.console.pid)
    delays = []
    for number in range(11):
        began = time.monotonic()
        assert other.run(f"{number} * 7\n") == f"{number * 7}\n"
        delays.append(time.monotonic() - began)
    # The median, without what the host kept the machine waiting: that is spread over no more than the slower half.
    slower = sorted(delays)[len(delays) // 2 :]
    assert slower[0] - waits.total() / len(slower) < 0.2
    loops.send(b"\x03")
    loops.prompt()


def test_who_goes_ends_what_runs(connect: Connect, served: Served) -> None:
    for lines in (b"", b"while True: pass\n\n", b"import time; time.sleep(1000)\n"):
        client = connect()
        client.prompt()
        client.send(b"print('begun', flush=True)\n" + lines)
        client.expect(b"begun\n>>> ")
        # With 0 seconds to linger it is reset.
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()
        served.wait_until_alone()


def test_a_plain_client_that_goes_ends_what_runs(connect: Connect, served: Served) -> None:
    for lines in (b"while True: pass\n\n", b"import time; time.sleep(1000)\n"):
        client = connect()
        client.prompt()
        client.send(b"print('begun', flush=True)\n" + lines)
        client.expect(b"begun\n>>> ")
        # No pipe has run dry: its user looked at that for a while.
        time.sleep(1.5)
        client.socket.close()
        served.wait_until_alone()


def test_a_session_that_ends_slowly_is_not_interrupted_after_its_end(connect: Connect, served: Served) -> None:
    served.console.run("from kernel.net import _chat; from kernel.net._repl import _Connection")
    client = connect()
    client.prompt()
    served.console.run("[left] = [each for each in gc.get_objects() if type(each) is _Connection and not each.is_over]")
    # Its user looks at the prompt for a while, and goes.
    time.sleep(1.5)
    served.console.run("_chat._changing.acquire()")
    client.socket.close()
    # The session ends and waits to leave the chat; a second later the server interrupts whatever it still does.
    deadline = time.monotonic() + PATIENCE
    while served.console.evaluate("left.has_input_ended and left.deadline is None") != "True":
        assert time.monotonic() < deadline
    served.console.run("_chat._changing.release()")
    served.wait_until_alone()
    assert served.console.evaluate("_chat._here") == "{}"
    served.console.run("del left")


def test_connections_leave_nothing_behind(served: Served) -> None:
    def come_and_go(count: int) -> None:
        for number in range(count):
            client = Client(served.port)
            client.send(f"{number} * 7\nexit()\n".encode())
            assert client.rest().endswith(f">>> {number * 7}\n>>> ".encode())
            client.socket.close()

    def left() -> tuple[int, int, int]:
        """Returns how many threads and descriptors there are, and how much memory is free."""
        served.wait_until_alone()
        found = served.console.evaluate(
            "(gc.collect() * 0 + threading.active_count(), len(os.listdir('/proc/self/fd')),"
            " int(re.search(r'MemFree: *(\\d+)', open('/proc/meminfo').read())[1]))"
        )
        threads, descriptors, kib = map(int, re.findall(r"\d+", found))
        return threads, descriptors, kib

    come_and_go(20)  # what is allocated once is allocated now
    costs: list[int] = []
    # What each connection left behind would be missing after every round. On a loaded host one round in a few costs about
    # 7 MiB for which no cause is known; other rounds of the same machine do not. This does not notice that.
    while len(costs) < 5 and not (costs and costs[-1] <= 100 * 64):
        threads, descriptors, kib = left()
        come_and_go(100)
        after = left()
        assert after[:2] == (threads, descriptors)
        # Buffers of 128 KiB stay for some seconds, until TIME-WAIT ends.
        deadline = time.monotonic() + PATIENCE / 4
        while kib - after[2] > 100 * 64 and time.monotonic() < deadline:
            time.sleep(1)
            after = left()
        costs.append(kib - after[2])
    assert costs[-1] <= 100 * 64, costs


def test_others_than_the_host_are_not_let_in(served: Served) -> None:
    ask = "socket.create_connection(('{}', 5000)).makefile().readline()"
    assert served.console.evaluate(ask.format("127.0.0.1")) == "'PythonOS kernel shell\\n'"
    said = served.console.evaluate(ask.format("10.0.2.15"))
    assert said == "'PythonOS: 10.0.2.15 is not let in; the kernel option repl.listen=all lets in who has the token\\n'"


@pytest.fixture(scope="module")
def guarded(machines: Machines) -> Iterator[Served]:
    """A machine as it starts on a network that is not QEMU's: it has made a token."""
    machines.close()
    port = free_port()
    with machines.prompt(Shape(), forwards={port: PORT}) as console:
        yield Served(console, port)


@pytest.fixture
def token(guarded: Served) -> bytes:
    """The token that its console has shown."""
    match = re.search(r"INFO kernel\.net: its token is (\w{24})\n", guarded.console.text())
    assert match is not None
    return match[1].encode()


def test_sessions_are_served_again_when_one_has_closed_every_file(machines: Machines) -> None:
    port = free_port()
    with machines.prompt(Shape(append=("repl.listen=user-net",)), forwards={port: PORT}) as console:
        client = Client(port)
        with client.socket:
            client.prompt()
            client.send(b"import os; os.closerange(3, 1000)\n")
            console.expect(r"INFO kernel\.net: TCP REPL listening on port 5000\r?\n", PATIENCE)
        client = Client(port)
        with client.socket:
            client.prompt()
            assert client.run("6 * 7\n") == "42\n"


def test_who_has_the_token_is_let_in(guarded: Served, token: bytes) -> None:
    client = Client(guarded.port)
    with client.socket:
        assert client.expect(b"token: ") == b""
        client.send(token[:10])
        client.send(token[10:] + b"\n")
        assert client.prompt().startswith("PythonOS kernel shell\n")
        assert client.run("6 * 7\n") == "42\n"


def test_a_wrong_token_is_answered_late_and_with_nothing_else(guarded: Served, token: bytes) -> None:
    for wrong in (token[:-1], b"", b"exit()", token[:-1] + bytes([token[-1] ^ 1])):
        client = Client(guarded.port)
        with client.socket:
            client.expect(b"token: ")
            began = time.monotonic()
            client.send(wrong + b"\n" + token + b"\n6 * 7\n")
            assert client.rest() == b"PythonOS: that is not the token\r\n"
            assert time.monotonic() - began > 0.9


def test_few_may_owe_the_token_at_once(guarded: Served, token: bytes) -> None:
    with ExitStack() as stack:
        clients = []
        for _ in range(STRANGERS):
            clients.append(Client(guarded.port))
            stack.enter_context(clients[-1].socket)
            clients[-1].expect(b"token: ")
        beyond = stack.enter_context(Client(guarded.port).socket)
        assert beyond.makefile("rb").read() == b"PythonOS: too many have not given the token yet; try again later\r\n"
        clients[0].send(token + b"\n")
        clients[0].prompt()
        stack.enter_context((another := Client(guarded.port)).socket)
        another.expect(b"token: ")


def test_nobody_is_served_where_that_is_asked_for(machines: Machines) -> None:
    with machines.prompt(Shape(append=("repl.listen=off",))) as console:
        answer = console.evaluate(f"__import__('socket').socket().connect_ex(('127.0.0.1', {PORT}))")
        assert answer == str(errno.ECONNREFUSED)
        assert "kernel.net: TCP REPL" not in console.text()
