"""A web server that shows the machine: `http_server.py [port [folder]]`, until Ctrl-C.

`/` is a page about the machine as it is at that moment, `/threads` the same of its threads, as JSON; any other path is
a file of the folder, `/examples` if none is given.
"""

from __future__ import annotations

import html
import json
import os
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

BEGAN = time.monotonic()


class Handler(SimpleHTTPRequestHandler):
    """Answers one client."""

    def do_GET(self) -> None:
        """Answers `GET`."""
        if self.path == "/":
            self.answer("text/html; charset=utf-8", page())
        elif self.path == "/threads":
            names = [thread.name for thread in threading.enumerate()]
            self.answer("application/json", json.dumps(names) + "\n")
        else:
            super().do_GET()

    def answer(self, kind: str, text: str) -> None:
        """Sends a text."""
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Prints one line for each request."""
        print(f"{self.client_address[0]} {format % args}", flush=True)


def page() -> str:
    """Returns the page about the machine."""
    system = os.uname()
    facts = {
        "system": f"{system.sysname} on {system.machine}",
        "python": sys.version,
        "CPUs": os.cpu_count(),
        "threads": threading.active_count(),
        "served for": f"{time.monotonic() - BEGAN:.0f} s",
    }
    rows = "".join(f"<tr><th>{name}<td>{html.escape(str(value))}" for name, value in facts.items())
    return f"<!doctype html><title>{system.sysname}</title><table>{rows}</table>\n"


def main(argv: list[str]) -> None:
    """Serves until Ctrl-C."""
    port = int(argv[1]) if len(argv) > 1 else 8000
    handler = partial(Handler, directory=argv[2] if len(argv) > 2 else "/examples")
    with ThreadingHTTPServer(("", port), handler) as server:
        print(f"serving on port {server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ in ("__main__", "<run_path>"):
    main(globals().get("argv", sys.argv))
