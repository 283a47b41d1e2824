"""Receives one file over TCP, as `ftp get` does: `recv_file.py [path [port]]`.

From the host of a machine that `make run` started: `nc -N localhost 17000 < file`.
"""

from __future__ import annotations

import hashlib
import socket
import sys


def receive(path: str, port: int) -> None:
    """Waits for a client and saves what it sends."""
    digest = hashlib.sha256()
    with socket.create_server(("", port)) as server:
        print(f"listening on port {server.getsockname()[1]}", flush=True)
        client, (address, *_) = server.accept()
    count = 0
    with client, open(path, "wb") as file:
        while data := client.recv(1 << 16):
            file.write(data)
            digest.update(data)
            count += len(data)
    print(f"saved {count} bytes from {address} to {path}")
    print(f"sha256 {digest.hexdigest()}")


def main(argv: list[str]) -> None:
    """Reads the arguments."""
    path = argv[1] if len(argv) > 1 else "/tmp/received"
    receive(path, int(argv[2]) if len(argv) > 2 else 7000)


if __name__ in ("__main__", "<run_path>"):
    main(globals().get("argv", sys.argv))
