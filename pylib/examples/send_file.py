"""Sends one file over TCP, as `ftp put` does: `send_file.py path [host [port]]`.

To the host of a machine that `make run` started: `nc -l 7001 > file` there, before.
"""

from __future__ import annotations

import hashlib
import socket
import sys


def send(path: str, host: str, port: int) -> None:
    """Connects to a server and sends it a file."""
    digest = hashlib.sha256()
    count = 0
    with open(path, "rb") as file, socket.create_connection((host, port)) as server:
        while data := file.read(1 << 16):
            server.sendall(data)
            digest.update(data)
            count += len(data)
    print(f"sent {count} bytes from {path} to {host}:{port}")
    print(f"sha256 {digest.hexdigest()}")


def main(argv: list[str]) -> None:
    """Reads the arguments."""
    if len(argv) < 2:
        raise SystemExit("usage: send_file.py path [host [port]]")
    send(argv[1], argv[2] if len(argv) > 2 else "10.0.2.2", int(argv[3]) if len(argv) > 3 else 7001)


if __name__ in ("__main__", "<run_path>"):
    main(globals().get("argv", sys.argv))
