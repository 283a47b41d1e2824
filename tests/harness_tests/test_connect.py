"""`make connect`, and the ports that `make run` forwards."""

from __future__ import annotations

import os
import pty
import select
import socket
import sys
import time

import pytest

from harness import __main__ as targets
from harness import settings
from harness.connect import Output, greeting
from harness.paths import REPOSITORY


@pytest.mark.parametrize("cut", range(1, 14))
def test_what_is_shown_has_no_commands_in_it(cut: int) -> None:
    data = b"a\xff\xfb\x01b\xff\xffc\xff\xfa\x18\x01\xff\xf0d"
    output = Output()
    assert output.receive(data[:cut]) + output.receive(data[cut:]) == b"ab\xffcd"


def read(fd: int, wanted: bytes) -> bytes:
    """Reads until what was read ends with `wanted`."""
    data = b""
    deadline = time.monotonic() + 30
    while not data.endswith(wanted):
        assert select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0], data
        piece = os.read(fd, 1 << 16)
        assert piece, data
        data += piece
    return data


def test_a_terminal_is_attached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        child, terminal = pty.fork()
        if child == 0:
            # Another program from here on.
            os.environ.update(PYTHONPATH=str(REPOSITORY / "tests"), TERM="xterm-test", COLUMNS="81", LINES="25")
            program = f"from harness import connect; connect.attach({server.getsockname()[1]})"
            os.execv(sys.executable, [sys.executable, "-c", program])
        server.settimeout(30)
        client, _ = server.accept()
        client.settimeout(30)
        with client:
            said = read(client.fileno(), b"XTERM-TEST\xff\xf0")
            assert b"\xff\xfa\x1f\0\x51\0\x19\xff\xf0" in said
            client.sendall(b"\xff\xfb\x01>>> ")
            read(terminal, b">>> ")
            # Ctrl-C is a key as any other, and nothing is echoed here.
            os.write(terminal, b"one\r\x03")
            assert read(client.fileno(), b"\x03") == b"one\r\0\x03"
            client.sendall(b"two\r\n")
            assert read(terminal, b"\n") == b"two\r\n"
            os.write(terminal, b"last\x1dlost")
            assert read(client.fileno(), b"last") == b"last"
            assert client.recv(1) == b""
        read(terminal, b"left the machine\r\n")
        assert os.waitpid(child, 0)[1] == 0
        os.close(terminal)


def test_a_greeting_says_everything_at_once() -> None:
    assert greeting("dumb").endswith(b"\xff\xfa\x18\0DUMB\xff\xf0")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as free:
        taken, other = server.getsockname()[1], free.getsockname()[1]
        free.close()
        for name, value in {"REPL_HOST_PORT": taken, "FILE_HOST_PORT": taken}.items():
            ports = {"REPL_HOST_PORT": str(other), "FILE_HOST_PORT": str(other), name: str(value)}
            with pytest.raises(settings.BadSetting, match=f"{name}={taken}: another program has this port"):
                targets.forwards(settings.read(ports))
        with pytest.raises(settings.BadSetting, match="are the same"):
            targets.forwards(settings.read({"REPL_HOST_PORT": str(other), "FILE_HOST_PORT": str(other)}))
        server.close()
        found = targets.forwards(settings.read({"REPL_HOST_PORT": str(other), "FILE_HOST_PORT": str(taken)}))
        assert found == {other: 5000, taken: 7000}
