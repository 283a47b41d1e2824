"""The examples run on any Python, so here they run on the host's."""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from fake_hal import FakeHal, PciFunction, Router

from harness.paths import REPOSITORY
from kernel.bus import pci

EXAMPLES = REPOSITORY / "pylib" / "examples"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs an example as a program."""
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "pylib")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_primes_up_to_30_are_10() -> None:
    assert run("primes.py", "30").stdout == "2 3 5 7 11 13 17 19 23 29\n10 primes up to 30\n"


@pytest.mark.parametrize(("limit", "found"), [("0", 0), ("1", 0), ("2", 1), ("3", 2), ("4", 2), ("1000", 168)])
def test_number_of_primes(limit: str, found: int) -> None:
    assert run("primes.py", limit).stdout.splitlines()[-1] == f"{found} primes up to {limit}"


def test_primes_refuses_what_is_no_limit() -> None:
    result = run("primes.py", "x")
    assert (result.returncode, result.stderr) == (2, "primes: x: not a whole number of at least 0\n")


def test_thread_demo_prints_its_lines_in_order() -> None:
    lines = run("thread_demo.py").stdout.splitlines()
    workers = max(2, min(len(os.sched_getaffinity(0)), 16))
    assert lines[:1] == ["thread demo"]
    assert lines[1 : workers + 1] == [f"worker {i} done: True" for i in range(workers)]
    assert [line.partition(":")[0] for line in lines[workers + 1 : workers + 10]] == [
        "timeout phase",
        "delayed phase",
        "worker ident",
        "worker done",
        "delayed ident",
        "workers",
        "values",
        "timeout expired",
        "delayed acquire",
    ]


def test_examples_run_by_path_at_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = sys.argv
    sys.argv = ["primes.py", "10"]
    try:
        runpy.run_path(str(EXAMPLES / "primes.py"))
    finally:
        sys.argv = arguments
    assert capsys.readouterr().out == "2 3 5 7\n4 primes up to 10\n"


def test_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.txt").read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in text] == []


def test_hello_kernel_greets_by_name() -> None:
    lines = run("hello_kernel.py", "Ada").stdout.splitlines()
    assert lines[0] == "Hello, Ada!"
    assert lines[1].startswith(f"I am Python {sys.version.split()[0]}, and the kernel of Linux on ")
    assert len(lines) == 4
    assert run("hello_kernel.py").stdout.startswith("Hello, kernel!\n")


def test_vfs_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    assert run("vfs_demo.py", str(tmp_path)).stdout.splitlines() == [
        "wrote 19 bytes",
        "read b'hello from the vfs\\n'",
        "open() reads 'hello from the vfs\\n'",
        "names: ['inside'], inside: ['renamed.txt']",
        "size: 19",
        "directories: [True, True, True]",
        "left: []",
    ]
    assert list(tmp_path.iterdir()) == []


def test_async_tasks() -> None:
    lines = run("async_tasks.py").stdout.splitlines()
    # How long the waits took is the host's business.
    assert [line for line in lines if not line.startswith("they waited together: ")] == [
        "tasks returned: [3, 3, 3]",
        "queue: ['a0', 'a1', 'a2', 'b0', 'b1', 'b2', 'c0', 'c1', 'c2']",
        "timeout: True",
        "cancelled: True",
        "threads computed: [332833500, 2664667000, 8995500500]",
    ]


def test_parallel_mandelbrot_draws_the_same_picture_in_parallel() -> None:
    lines = run("parallel_mandelbrot.py", "20", "5").stdout.splitlines()
    assert [len(line) for line in lines[:5]] == [20] * 5
    assert lines[0] == lines[4], "it is symmetric"
    assert "@" in lines[2]
    assert lines[5] == "same picture: True"
    assert re.fullmatch(r"speed-up: \d+\.\d\d with \d+ workers over one", lines[6])


def test_driver_demo_reads_a_device(hal: FakeHal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    space = bytearray(64)
    struct.pack_into("<HHHHBBBB", space, 0, 0x1AF4, 0x1044, 2, 0x10, 1, 0, 0, 0xFF)
    struct.pack_into("<I", space, 0x10, 0xFEB00000)
    space[0x34] = 0x40
    common = struct.pack("<BBBBB3xII", 9, 0, 16, 1, 0, 0x100, 0x38)
    hal.pci[0, 4, 0] = PciFunction(bytes(space) + common, {0x10: 0xFFFFF000})
    hal.registers = {0xFEB00112: 1, 0xFEB00114: 0x0F}
    monkeypatch.setattr(pci, "bus", pci.Bus())
    runpy.run_path(str(EXAMPLES / "driver_demo.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "<00:04.0 other ff00: 1af4:1044>",
        "00:04.0: virtio entropy device, 1 memory areas",
        "  common configuration: 56 bytes at 0x100 of memory area 0",
        "  status 0x0f, 1 queues",
        "1 devices read",
    ]


def test_interrupts_demo_counts_by_cpu(
    hal: FakeHal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def set_router(router: Router | None) -> None:
        """Three interrupts of the timer, as soon as somebody wants them."""
        if router is not None:
            for cpu, lost in ((0, 0), (1, 4), (0, 0)):
                router(32, cpu, 0, lost)

    monkeypatch.setattr(hal, "set_interrupt_router", set_router)
    hal.vectors = [(5, "keyboard", (0, 0), 0), (32, "local timer", (0, 0), 0)]
    runpy.run_path(str(EXAMPLES / "interrupts_demo.py"), {"argv": ["interrupts_demo.py", "0.5"]}, "__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["vector 32, 0.5 seconds", "cpu 0: 2 interrupts", "cpu 1: 1 interrupts", "lost: 4"]


# -- servers ------------------------------------------------------------------------------------


@contextmanager
def running(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Starts an example as a program; ends it if it goes on."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "pylib")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


def line_of(program: subprocess.Popen[str]) -> str:
    """Returns the next line that a program prints."""
    assert program.stdout is not None
    return program.stdout.readline()


def port_of(program: subprocess.Popen[str]) -> int:
    """Returns the port that a program's next line ends with."""
    line = line_of(program)
    found = re.search(r" port (\d+)\b", line)
    assert found is not None, line
    return int(found[1])


def interrupt(program: subprocess.Popen[str]) -> str:
    """Types Ctrl-C; returns all that a program prints to its end."""
    program.send_signal(signal.SIGINT)
    assert program.stdout is not None
    rest = program.stdout.read()
    assert program.wait() == 0
    return rest


def get(port: int, path: str) -> tuple[int, bytes]:
    """Returns the status and the body of a page."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_recv_file_and_send_file_agree(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "sent").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    with running("recv_file.py", str(tmp_path / "received"), "0") as receiver:
        port = port_of(receiver)
        sent = run("send_file.py", str(tmp_path / "sent"), "127.0.0.1", str(port))
        assert sent.stdout.splitlines() == [
            f"sent {len(data)} bytes from {tmp_path}/sent to 127.0.0.1:{port}",
            f"sha256 {digest}",
        ]
        assert line_of(receiver) == f"saved {len(data)} bytes from 127.0.0.1 to {tmp_path}/received\n"
        assert line_of(receiver) == f"sha256 {digest}\n"
        assert receiver.wait() == 0
    assert (tmp_path / "received").read_bytes() == data


def test_http_server() -> None:
    with running("http_server.py", "0", str(EXAMPLES)) as server:
        port = port_of(server)
        status, page = get(port, "/")
        assert (status, b"<tr><th>CPUs<td>" in page) == (200, True)
        status, names = get(port, "/threads")
        assert (status, json.loads(names)[0]) == (200, "MainThread")
        assert get(port, "/primes.py") == (200, (EXAMPLES / "primes.py").read_bytes())
        assert get(port, "/nothing")[0] == 404
        assert interrupt(server).splitlines() == [
            '127.0.0.1 "GET / HTTP/1.1" 200 -',
            '127.0.0.1 "GET /threads HTTP/1.1" 200 -',
            '127.0.0.1 "GET /primes.py HTTP/1.1" 200 -',
            "127.0.0.1 code 404, message File not found",
            '127.0.0.1 "GET /nothing HTTP/1.1" 404 -',
            "stopped",
        ]


def test_echo_server_keeps_clients_apart() -> None:
    data = [os.urandom(100_000) for _ in range(4)]
    with running("echo_server.py", "0") as server:
        port = port_of(server)
        clients = [socket.create_connection(("127.0.0.1", port), 30) for _ in data]
        for client, text in zip(clients, data, strict=True):
            sender = threading.Thread(target=client.sendall, args=(text,))
            sender.start()
            with client.makefile("rb") as stream:
                assert stream.read(len(text)) == text
            sender.join()
            client.close()
        lines = [line_of(server) for _ in range(2 * len(data))]
        assert sum(" has come\n" in line for line in lines) == len(data)
        assert sum(" has gone, 100000 bytes echoed\n" in line for line in lines) == len(data)
        assert interrupt(server) == "stopped\n"


def test_parallel_http_counts_right() -> None:
    lines = run("parallel_http.py").stdout.splitlines()
    assert lines[0] == "requests: 16, all right: True"
    counts = [int(match[1]) for line in lines if (match := re.fullmatch(r"cpu \d+: (\d+) requests", line))]
    assert sum(counts) == 16
    threads = len(os.sched_getaffinity(0))
    assert re.fullmatch(rf"speed-up: \d+\.\d\d with {threads} threads over one", lines[-1])
    with running("parallel_http.py", "0") as server:
        port = port_of(server)
        assert json.loads(get(port, "/primes/30")[1])["primes"] == 10
        assert get(port, "/primes/x")[0] == 404
        assert interrupt(server) == "stopped\n"
