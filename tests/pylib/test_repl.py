"""The Python shell over TCP, on the host's loopback."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from fake_hal import FakeHal

from harness.paths import REPOSITORY
from kernel.net import _repl
from kernel.net._access import Access, BadOption, read
from kernel.net._repl import Server
from kernel.net._telnet import Telnet

#: A process of its own: its sessions change what `sys.stdout` is.
PROGRAM = """
import os, socket, sys
if not hasattr(os, "unshare"):
    # Python 3.11: all sessions have one current directory, which no test here changes.
    os.unshare, os.CLONE_FS = lambda flags: None, 0
from kernel.net import Access, Server
listener = socket.create_server(("127.0.0.1", 0), backlog=200)
print(listener.getsockname()[1], flush=True)
Server(listener, Access("all", sys.argv[2] or None), limit=int(sys.argv[1])).run()
"""


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Where sessions are served."""
    limit, token = getattr(request, "param", (64, ""))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "pylib"), "TERM": "xterm"}
    command = [sys.executable, "-c", PROGRAM, str(limit), token]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.kill()


class Client:
    """A connection, read up to what is expected."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.text = b""

    def send(self, data: bytes) -> None:
        """Sends bytes."""
        self.socket.sendall(data)

    def expect(self, wanted: bytes) -> bytes:
        """Reads until `wanted` has come; returns what came before it."""
        while wanted not in self.text:
            data = self.socket.recv(1 << 16)
            assert data, f"closed before {wanted!r}: {self.text!r}"
            self.text += data
        before, _, self.text = self.text.partition(wanted)
        return before

    def rest(self) -> bytes:
        """Reads to the end."""
        while data := self.socket.recv(1 << 16):
            self.text += data
        return self.text

    def evaluate(self, expression: str) -> str:
        """Returns the `repr` of an expression."""
        mark = secrets.token_hex(8)
        self.send(f"print(repr(({expression})), '{mark[:8]}' '{mark[8:]}')\n".encode())
        return self.expect(mark.encode() + b"\n").decode().rpartition(">>> ")[2].strip()


@pytest.fixture
def connect(port: int) -> Iterator[Callable[[], Client]]:
    """Makes connections, which end with the test."""
    with ExitStack() as stack:

        def make() -> Client:
            client = Client(port)
            stack.callback(client.socket.close)
            return client

        yield make


def test_a_plain_client_talks_in_lines(connect: Callable[[], Client]) -> None:
    client = connect()
    banner = client.expect(b">>> ").decode()
    assert banner.startswith("PythonOS kernel shell\nPython ")
    client.send(b"6 * 7\n")
    # Nothing is echoed: the client's own terminal shows what is typed.
    assert client.expect(b">>> ") == b"42\n"
    client.send(b"1/0\n")
    assert b"ZeroDivisionError: division by zero\n" in client.expect(b">>> ")
    client.send(b"def f():\n  return 5\n\nf()\n")
    client.expect(b"5\n>>> ")
    client.send(b"await __import__('asyncio').sleep(0.01, 'slept')\n")
    assert client.expect(b">>> ") == b"'slept'\n"
    client.send(b"exit()\n")
    assert client.rest() == b""


def test_sessions_are_kept_apart(connect: Callable[[], Client]) -> None:
    clients = [connect() for _ in range(16)]
    words = [secrets.token_hex(8) for _ in clients]
    for client, word in zip(clients, words, strict=True):
        client.send(f"word = '{word}'\n".encode())
    for client, word in zip(clients, words, strict=True):
        assert client.evaluate("word") == f"'{word}'"


def test_what_is_piped_in_is_answered_to_its_end(connect: Callable[[], Client]) -> None:
    client = connect()
    client.send(b"print(6 * 7)\n" * 1000)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.rest().count(b"42\n") == 1000


def test_a_client_that_goes_ends_its_session(connect: Callable[[], Client]) -> None:
    watcher = connect()
    watcher.send(b"import threading\n")
    alive = "sum(thread.name.startswith('tcp-') for thread in threading.enumerate())"
    # Only on the machine itself does it end what runs, too.
    for line in (b"", b"half of a line", b"def f():\n"):
        client = connect()
        client.expect(b">>> ")
        assert int(watcher.evaluate(alive)) == 2
        client.send(line)
        # With bytes unread the host resets the connection.
        client.send(b"print('unread')\n")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()
        deadline = time.monotonic() + 10
        while int(watcher.evaluate(alive)) > 1:
            assert time.monotonic() < deadline, line
            time.sleep(0.05)


@contextmanager
def serving(serve: Callable[[int, str, str], None]) -> Iterator[Callable[[], Client]]:
    """Serves terminals by `serve` in this process; gives what connects to them."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        server = Server(listener, Access(), serve)
        thread = threading.Thread(target=server.run)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.stop)
        number = listener.getsockname()[1]

        def make() -> Client:
            client = Client(number)
            stack.callback(client.socket.close)
            return client

        yield make


def echo_keys(fd: int, terminal: str, name: str) -> None:
    """Writes every key in hexadecimal digits until all that may be the end of input has come, or the terminal goes."""
    ends = 0
    with suppress(OSError):
        tty.setraw(fd)
        os.write(fd, b"ready ")
        while ends < 8 and (key := os.read(fd, 1)):
            os.write(fd, key.hex().encode() + b" ")
            ends += key == b"\4"


def echo_keys_until_interrupted(fd: int, terminal: str, name: str) -> None:
    """The same, but no end of input is a reason to go before Ctrl-C: something runs that does not read."""
    keys = b""
    tty.setraw(fd)
    os.write(fd, b"ready ")
    while not keys.endswith(b"\3" + b"\4" * 8) and (key := os.read(fd, 1)):
        os.write(fd, key.hex().encode() + b" ")
        keys += key


def test_a_user_who_has_waited_and_goes_interrupts_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_repl, "_HANG_UP_DELAY", 0.05)
    with serving(echo_keys_until_interrupted) as connect:
        client = connect()
        client.expect(b"ready ")
        client.send(b"x")
        client.expect(b"78 ")
        time.sleep(0.1)
        client.socket.shutdown(socket.SHUT_WR)
        # Ctrl-C drops what has not been read when it comes.
        assert re.fullmatch(rb"(04 ){0,8}03 (04 ){8}", client.rest())


def test_a_pipe_that_runs_dry_interrupts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_repl, "_HANG_UP_DELAY", 30.0)
    with serving(echo_keys) as connect:
        client = connect()
        client.expect(b"ready ")
        time.sleep(0.1)
        client.send(b"x")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b"78 " + b"04 " * 8


def test_an_error_ends_one_connection_and_is_logged(hal: FakeHal, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: _repl._Connection) -> None:
        if self.name == "tcp-1":
            raise ZeroDivisionError("in the server")
        receive(self)

    receive = _repl._Connection.receive
    monkeypatch.setattr(_repl._Connection, "receive", fail)
    with serving(echo_keys) as connect:
        first, second = connect(), connect()
        for client in (first, second):
            client.expect(b"ready ")
        first.send(b"x")
        # Closed with something unread.
        with pytest.raises(ConnectionResetError):
            first.rest()
        second.send(b"y")
        second.expect(b"79 ")
    lines = [line for _, target, line in hal.lines if target == "kernel.net"]
    assert (lines[0], lines[-1]) == ("tcp-1 has to end", "ZeroDivisionError: in the server")


def test_the_server_outlives_an_error_of_its_own(hal: FakeHal, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Server) -> set[_repl._Connection]:
        monkeypatch.setattr(Server, "_accept", accept)
        raise MemoryError

    accept = Server._accept
    monkeypatch.setattr(Server, "_accept", fail)
    monkeypatch.setattr(_repl, "_PAUSE", 0.01)
    with serving(echo_keys) as connect:
        connect().expect(b"ready ")
    assert [line for _, _, line in hal.lines if "goes on" in line or line == "MemoryError"] == [
        "the Python shell over TCP rests and goes on",
        "MemoryError",
    ]


def test_one_that_does_not_read_holds_up_nobody_else(connect: Callable[[], Client]) -> None:
    deaf = connect()
    deaf.send(b"while True: print('x' * 10000)\n\n")
    time.sleep(0.3)
    assert connect().evaluate("6 * 7") == "42"


def test_users_talk_to_each_other(connect: Callable[[], Client]) -> None:
    ann, bob, deaf = connect(), connect(), connect()
    ann.send(b"chat.nick('ann')\n")
    # Each answer says that the session is there.
    assert [client.evaluate("'chat' in globals()") for client in (ann, bob, deaf)] == ["True"] * 3
    names = ann.evaluate("chat.who()")
    assert names.startswith("['ann', 'tcp-") and names.count("tcp-") == 2
    ann.send("chat.send('grüße \\x1b[2J\\nforged: line')\n".encode())
    assert b"forged" not in bob.expect("\r\nann: grüße ?[2J?forged: line\r\n".encode())
    bob.send(b"chat.nick('ann')\n")
    bob.expect(b"ValueError: somebody is called ann already\n")
    bob.send(b"chat.nick('a\\nb')\n")
    bob.expect(b"is no name")
    # One who does not read misses something, and is waited for by nobody.
    deaf.send(b"while True: print('x' * 10000)\n\n")
    time.sleep(0.3)
    assert ann.evaluate("[chat.send('y' * 1000) for _ in range(1000)] == [None] * 1000") == "True"
    ann.send(b"exit()\n")
    ann.rest()
    bob.send(b"chat.nick('bob')\n")
    while "'ann'" in (names := bob.evaluate("chat.who()")):
        time.sleep(0.05)
    assert names.startswith("['bob', ")


@pytest.mark.parametrize("port", [(2, "")], indirect=True)
def test_too_many_are_told_so(connect: Callable[[], Client]) -> None:
    clients = [connect() for _ in range(2)]
    for client in clients:
        client.expect(b">>> ")
    assert connect().rest().startswith(b"PythonOS: ")
    clients[0].send(b"exit()\n")
    clients[0].rest()
    assert connect().evaluate("6 * 7") == "42"


def test_connections_leave_nothing_behind(connect: Callable[[], Client]) -> None:
    watcher = connect()
    watcher.send(b"import os, threading\n")
    used = "__import__('gc').collect() * 0 + len(os.listdir('/proc/self/fd')), threading.active_count()"
    before = watcher.evaluate(used)
    for _ in range(50):
        client = connect()
        client.send(b"exit()\n")
        client.rest()
    deadline = time.monotonic() + 10
    while watcher.evaluate(used) != before:
        assert time.monotonic() < deadline, (before, watcher.evaluate(used))
        time.sleep(0.05)


def test_a_client_that_speaks_telnet_says_what_its_terminal_is(connect: Callable[[], Client]) -> None:
    client = connect()
    client.send(b"\xff\xfb\x1f\xff\xfb\x18\xff\xfd\x01\xff\xfd\x03\xff\xfa\x1f\0\x64\0\x1e\xff\xf0\xff\xfa\x18\0DUMB\xff\xf0")
    # It is to echo, to suppress go-ahead, to be told window and terminal.
    client.expect(b"\xff\xfd\x1f\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0\xff\xfb\x01\xff\xfb\x03")
    client.expect(b"PythonOS kernel shell\r\n")
    client.expect(b">>> ")
    client.send(b"__import__('os').get_terminal_size(1)\r\0")
    # What is typed is echoed; 1 is the server's own output, which is no terminal.
    assert client.expect(b"\r\n") == b"__import__('os').get_terminal_size(1)"


@pytest.mark.parametrize("port", [(64, "open sesame")], indirect=True)
def test_who_has_the_token_is_let_in(connect: Callable[[], Client]) -> None:
    client = connect()
    assert client.expect(b"token: ") == b""
    client.send(b"open ses")
    client.send(b"ame\n6 * 7\n")
    client.expect(b">>> 42\n")


@pytest.mark.parametrize("port", [(64, "open sesame")], indirect=True)
@pytest.mark.parametrize(
    "word",
    [b"open sesam\n", b"\n", b"\xff\xfb\x1f\r\n", b"x" * 300],
    ids=["near", "empty", "telnet", "long"],
)
def test_a_wrong_token_is_answered_late(connect: Callable[[], Client], word: bytes) -> None:
    client = connect()
    began = time.monotonic()
    client.send(word + b"open sesame\n6 * 7\n")
    assert client.rest().endswith(b"PythonOS: that is not the token\r\n")
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("port", [(64, "open sesame")], indirect=True)
def test_few_strangers_at_a_time_are_asked(connect: Callable[[], Client]) -> None:
    strangers = [connect() for _ in range(8)]
    for stranger in strangers:
        stranger.expect(b"token: ")
    assert connect().rest().startswith(b"PythonOS: too many")
    strangers[0].send(b"open sesame\n")
    strangers[0].expect(b">>> ")
    connect().expect(b"token: ")


def test_options_say_who_is_let_in() -> None:
    made = read("")
    assert (made.listen, len(made.token or "")) == ("all", 24)
    assert read("").token != made.token
    assert read("repl.listen=user-net console.size=80x24") == Access("user-net", None)
    assert read("repl.token='two words' repl.listen=off -- repl.listen=all") == Access("off", "two words")
    for line in ("repl.listen=never", "repl.token="):
        with pytest.raises(BadOption, match="want"):
            read(line)
    access = read("repl.listen=user-net")
    assert [access.refusal(address) for address in ("10.0.2.2", "::ffff:10.0.2.2", "127.0.0.1", "::1")] == [None] * 4
    assert "is not let in" in (access.refusal("192.168.1.7") or "")


def test_telnet_answers_each_change_once() -> None:
    telnet = Telnet()
    assert telnet.receive(b"\xff\xfd\x01a\xff\xffb\xff") == b"a\xffb"
    assert telnet.receive(b"\xfd\x01\xff\xfd\x63\xff\xf4") == b"\x03"
    assert telnet.replies == b"\xff\xfb\x01\xff\xfc\x63"
    telnet.replies.clear()
    telnet.receive(b"\xff\xfe\x01\xff\xfe\x01\xff\xfc\x1f")
    assert telnet.replies == b"\xff\xfc\x01"


@pytest.mark.parametrize("cut", range(1, 20))
def test_telnet_does_not_mind_where_packets_end(cut: int) -> None:
    data = b"x\xff\xfa\x1f\0\x50\0\xff\xff\xff\xf0y\r\0z\r\nw\xff\xfb\x18"
    telnet = Telnet()
    assert telnet.receive(data[:cut]) + telnet.receive(data[cut:]) == b"xy\rz\rw"
    assert telnet.size == (80, 255)
    assert telnet.replies == b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0"


def test_telnet_outlives_garbage() -> None:
    telnet = Telnet()
    telnet.receive(os.urandom(1 << 16))
    telnet.receive(b"\xff\xf0" * 2 + b"\xff\xfa" + b"x" * 1000 + b"\xff\xf0" * 2)
    assert telnet.receive(b"alive") == b"alive"
