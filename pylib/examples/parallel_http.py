"""A web server whose requests are served on all CPUs, by a pool of threads: `parallel_http.py [port]`.

`/primes/30` counts the primes up to 30, in Python, and tells which CPU did. With a port it serves until Ctrl-C.
Without one it shows what that gives: clients in the same machine ask a pool of one thread and a pool with a thread for
each CPU the same.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from socket import socket
from typing import Any

#: What the clients ask for, and how often.
LIMIT = 5_000
REQUESTS = 16


def current_cpu() -> int | None:
    """Returns the CPU that runs this thread; None if the system does not tell."""
    try:
        with open("/proc/thread-self/stat", encoding="utf-8") as stat:
            # Field 39 of proc(5); the name in field 2 may hold blanks.
            return int(stat.read().rpartition(")")[2].split()[36])
    except (OSError, IndexError, ValueError):
        return None


def count_primes(limit: int) -> int:
    """Counts the primes up to a limit, the slow way: this is the work."""
    return sum(all(number % factor for factor in range(2, int(number**0.5) + 1)) for number in range(2, limit + 1))


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self) -> None:
        """Answers `GET /primes/LIMIT`."""
        _, _, limit = self.path.rpartition("/primes/")
        if not (limit.isascii() and limit.isdecimal()):
            self.send_error(404)
            return
        answer = {"primes": count_primes(int(limit)), "cpu": current_cpu(), "thread": threading.current_thread().name}
        data = json.dumps(answer).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing."""


class PoolServer(HTTPServer):
    """Has a thread of a pool serve each request."""

    request_queue_size = REQUESTS

    def __init__(self, address: tuple[str, int], threads: int) -> None:
        super().__init__(address, Handler)
        self._pool = ThreadPoolExecutor(threads, "worker")

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Hands a request over."""
        self._pool.submit(self._serve, request, client_address)

    def _serve(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except ConnectionError:
            # The client did not wait.
            pass
        finally:
            self.shutdown_request(request)

    def server_close(self) -> None:
        """Closes the listening socket and waits for what is being served."""
        super().server_close()
        self._pool.shutdown()


def ask(port: int) -> dict[str, Any]:
    """Asks the server once."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/primes/{LIMIT}") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def measure(threads: int) -> tuple[list[dict[str, Any]], float]:
    """Has a pool of so many threads serve all clients; returns the answers and the seconds they took together."""
    with PoolServer(("127.0.0.1", 0), threads) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        began = time.perf_counter()
        with ThreadPoolExecutor(REQUESTS, "client") as clients:
            answers = list(clients.map(ask, [server.server_port] * REQUESTS))
        took = time.perf_counter() - began
        server.shutdown()
        serving.join()
    return answers, took


def demonstrate() -> None:
    """Prints the demonstration."""
    threads = len(os.sched_getaffinity(0))
    _, alone = measure(1)
    answers, together = measure(threads)
    right = count_primes(LIMIT)
    print(f"requests: {len(answers)}, all right: {all(answer['primes'] == right for answer in answers)}")
    for cpu, count in sorted(Counter(str(answer["cpu"]) for answer in answers).items()):
        print(f"cpu {cpu}: {count} requests")
    print(f"speed-up: {alone / together:.2f} with {threads} threads over one")


def main(argv: list[str]) -> None:
    """Serves, or demonstrates."""
    if len(argv) < 2:
        demonstrate()
        return
    with PoolServer(("", int(argv[1])), len(os.sched_getaffinity(0))) as server:
        print(f"serving on port {server.server_port} by {len(os.sched_getaffinity(0))} threads", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ in ("__main__", "<run_path>"):
    main(globals().get("argv", sys.argv))
