"""usage: ftp get DST [PORT]
       ftp put SRC [HOST] [PORT]

Moves one file over a TCP connection that carries nothing else; its end is the end of the file. `get` waits for
somebody to connect to PORT (7000) and saves what he sends as DST: `nc -N HOST 7000 < file` there. `put` connects to
HOST (10.0.2.2, the host of QEMU's network) at PORT (7001) and sends SRC: `nc -l 7001 > file` there.
"""

import os
import socket
from typing import BinaryIO

from kernel import net
from kernel.command import CommandError, parse

argv: list[str]

GET_PORT = 7000
PUT_HOST, PUT_PORT = "10.0.2.2", 7001
BLOCK_BYTES = 1 << 16


def port_of(text: str) -> int:
    """Returns a port's number; raises `CommandError` if it is none."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 16):
        raise CommandError(f"{text}: not a port")
    return int(text)


def own_address() -> str:
    """Returns the address at which others reach this machine; that of all its addresses if there is none."""
    for interface in net.interfaces:
        for address in interface.addresses:
            if interface.is_up and interface.mac is not None and ":" not in address:
                return address.partition("/")[0]
    return "0.0.0.0"


def get(path: str, port: int) -> None:
    """Saves what the next client sends."""
    # That it cannot be written is said at once; what it holds stays until something comes in its place.
    with open(path, "ab"):
        pass
    try:
        server = socket.create_server(("", port), backlog=1)
    except OSError as error:
        raise CommandError(f"port {port}: {os.strerror(error.errno or 0)}") from None
    with server:
        print(f"ftp: listening on {own_address()}:{port}")
        print("ftp: waiting for one incoming file stream", flush=True)
        client, _ = server.accept()
    with client, open(path, "wb") as file:
        count = receive(client, file)
    print(f"ftp: saved {count} bytes to {path}")


def receive(client: socket.socket, file: BinaryIO) -> int:
    """Copies what a client sends into a file; returns how many bytes it was."""
    count = 0
    while data := client.recv(BLOCK_BYTES):
        file.write(data)
        count += len(data)
    return count


def put(path: str, host: str, port: int) -> None:
    """Sends a file."""
    with open(path, "rb") as file:
        print(f"ftp: connecting to {host}:{port}", flush=True)
        try:
            with socket.create_connection((host, port)) as server:
                count = 0
                while data := file.read(BLOCK_BYTES):
                    server.sendall(data)
                    count += len(data)
        except OSError as error:
            raise CommandError(f"{host}:{port}: {error.strerror}") from None
    print(f"ftp: sent {count} bytes from {path}")


def main(argv: list[str]) -> None:
    """Gets or puts one file."""
    options = parse(__doc__, argv, least=1, most=4)
    match options.operands:
        case ["get", path, *rest] if len(rest) < 2:
            get(path, port_of(rest[0]) if rest else GET_PORT)
        case ["put", path, *rest]:
            put(path, rest[0] if rest else PUT_HOST, port_of(rest[1]) if len(rest) > 1 else PUT_PORT)
        case _:
            raise CommandError("usage: ftp get DST [PORT], or ftp put SRC [HOST] [PORT]")


main(argv)
