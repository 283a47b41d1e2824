"""Runs functions on request, over the console: the guest's half of `harness.serial.Guest`.

A request is one line of base64 with JSON in it; so is the reply, with a digest of the
result and of the word that came with the request.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import sys
import traceback
from typing import Any


def echo(value: object) -> object:
    """Returns what it was given."""
    return value


def main() -> None:
    """Answers requests until the console ends."""
    set_raw()
    os.write(1, f"@ready {os.getpid()}\n".encode())
    lines = read_lines()
    for line in lines:
        try:
            request = json.loads(base64.b64decode(line))
        except ValueError:
            os.write(1, b"@garbled " + repr(line).encode() + b"\n")
            continue
        answer(request)


def set_raw() -> None:
    """Turns off echo and line editing: requests may be longer than a line of the tty."""
    if not os.isatty(0):
        return
    import termios

    mode = termios.tcgetattr(0)
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(0, termios.TCSANOW, mode)


def read_lines() -> Any:
    """Yields the lines that arrive on descriptor 0."""
    pending = b""
    while data := os.read(0, 4096):
        pending += data
        *lines, pending = pending.split(b"\n")
        yield from lines


def answer(request: dict[str, Any]) -> None:
    """Runs one request and prints its reply."""
    try:
        module, _, name = request["function"].rpartition(".")
        # This file runs as `__main__`; requests name it like any other module.
        function = globals()[name] if module == "agent" else getattr(importlib.import_module(module), name)
        reply = {"result": function(*request["arguments"])}
        payload = json.dumps(reply)
    except BaseException:
        payload = json.dumps({"error": traceback.format_exc()})
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    digest = hashlib.sha256(request["word"].encode() + payload.encode()).hexdigest()
    message = f"\n@reply {digest} {base64.b64encode(payload.encode()).decode()}\n".encode()
    while message:
        message = message[os.write(1, message) :]


if __name__ == "__main__":
    main()
