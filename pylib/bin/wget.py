"""usage: wget [-q] [-O FILE] [-T SECONDS] URL...

Fetches each URL by HTTP into a file that is called as the last part of its path, or index.html, and is not there yet.
Redirects are followed. There is no HTTPS: this Python has no TLS.

  -O FILE     into FILE, in place of what it holds; - prints it
  -T SECONDS  how long the server may keep silent; 60 if not given
  -q          print nothing but errors
"""

import http.client
import math
import os
import sys
import time
import urllib.error
from typing import IO, BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from kernel.command import CommandError, for_each, human_size, parse, write_bytes

argv: list[str]

BLOCK_BYTES = 1 << 16
#: The time between two looks at the progress.
INTERVAL_S = 0.2


def check(url: str) -> str:
    """Returns a URL, with its scheme; raises `CommandError` unless it is one of HTTP."""
    if "://" not in url:
        url = f"http://{url}"
    scheme = url.partition("://")[0].lower()
    if scheme == "https":
        raise CommandError(f"{url}: no HTTPS, as this Python has no TLS; only http://")
    if scheme != "http":
        raise CommandError(f"{url}: not a URL of http://")
    return url


class Redirects(HTTPRedirectHandler):
    """Follows redirects to where `check` lets it."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        """Returns the next request; raises `CommandError` if it is none of HTTP."""
        check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Progress:
    """A line that tells how far a download is, where somebody looks."""

    def __init__(self, name: str, length: int | None, *, is_quiet: bool) -> None:
        self._is_seen = not is_quiet and sys.stderr.isatty()
        self._name = name
        self._length = length
        self._began = time.monotonic()
        #: When it was drawn.
        self._shown = -math.inf

    def show(self, count: int) -> None:
        """Draws the line anew, if it was not drawn just now."""
        now = time.monotonic()
        if not self._is_seen or now - self._shown < INTERVAL_S:
            return
        self._shown = now
        part = f"{count / self._length:4.0%} of {human_size(self._length)}" if self._length else human_size(count)
        speed = human_size(int(count / max(now - self._began, 0.001)))
        sys.stderr.write(f"\r\x1b[K{self._name}: {part}, {speed}/s")
        sys.stderr.flush()

    def end(self) -> None:
        """Removes the line."""
        if self._shown > -math.inf:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def copy(response: http.client.HTTPResponse, file: BinaryIO | None, progress: Progress) -> int:
    """Copies what a server sends into a file, or prints it; returns how many bytes it was."""
    count = 0
    expected = response.length
    try:
        while data := response.read1(BLOCK_BYTES):
            if file is None:
                write_bytes(data)
            else:
                file.write(data)
            count += len(data)
            progress.show(count)
    finally:
        progress.end()
    if expected is not None and count < expected:
        raise CommandError(f"the connection ended after {count} of {expected} bytes")
    return count


def reason(error: Exception) -> str:
    """Returns why something was not fetched."""
    if isinstance(error, urllib.error.HTTPError):
        if error.reason.startswith(HTTPRedirectHandler.inf_msg):
            return "it redirects in circles"
        return f"{error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        inner = error.reason
        return str(getattr(inner, "strerror", None) or inner)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def main(argv: list[str]) -> None:
    """Fetches each URL."""
    options = parse(__doc__, argv, flags="q", values="OT", least=1)
    timeout_s = options.number("T", 60)
    target = options.values.get("O")
    opener = build_opener(Redirects)

    def fetch(url: str) -> None:
        url = check(url)
        path = target or unquote(urlsplit(url).path.rpartition("/")[2]).replace("/", "_") or "index.html"
        if target is None and os.path.lexists(path):
            raise CommandError(f"{path}: File exists (wget -O {path} writes over it)")
        request = Request(url, headers={"User-Agent": "PythonOS wget"})
        try:
            response = opener.open(request, timeout=timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise CommandError(f"{url}: {reason(error)}") from None
        with response:
            if path == "-":
                receive(url, None, path, response)
                return
            is_new = not os.path.lexists(path)
            with open(path, "wb" if target else "xb") as file:
                try:
                    count = receive(url, file, path, response)
                except BaseException:
                    # Half a file is nobody's wish.
                    if is_new:
                        os.unlink(path)
                    raise
        if "q" not in options:
            print(f"{path}: {count} bytes saved")

    def receive(url: str, file: BinaryIO | None, name: str, response: http.client.HTTPResponse) -> int:
        try:
            # What is printed and a line that is drawn in between would disturb each other.
            is_quiet = "q" in options or file is None
            return copy(response, file, Progress(name, response.length, is_quiet=is_quiet))
        except (CommandError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise CommandError(f"{url}: {reason(error)}") from None

    for_each(options.name, options.operands, fetch)


main(argv)
