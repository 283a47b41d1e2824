"""The time of day from a server, by SNTP (RFC 4330)."""

import errno
import secrets
import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

from kernel import log

_LENGTH: Final = 48
#: Version 4, from a client; the answer comes from a server.
_REQUEST: Final = 4 << 3 | 3
_SERVER: Final = 4
_NOT_SYNCHRONIZED: Final = 3
#: A stratum that is a server's distance from a clock; 0 comes with a refusal, 16 means that it has no time.
_STRATA: Final = range(1, 16)
#: 1970-01-01 in seconds of the eras that begin in 1900 and on 2036-02-07.
_UNIX_EPOCH: Final = 2_208_988_800
_ERA: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class ClockCorrection:
    """What a server said of the clock."""

    server: str
    #: How far ahead of this machine's clock the server's was, in seconds.
    offset_s: float
    #: How long question and answer were under way together; the offset may be wrong by half of it.
    delay_s: float
    #: How many servers away from the server's clock it is, beginning with 1.
    stratum: int


def ntp(server: str, *, port: int = 123, timeout_s: float = 5.0, set_clock: bool = True) -> ClockCorrection:
    """Asks an NTP server for the time and sets the wall clock by it; returns how far it was off.

    `server` is a name or an address, `port` its UDP port; it may take `timeout_s` seconds. `set_clock=False` only
    tells. `time.monotonic()` and time-outs do not change.

    Raises `OSError`: `TimeoutError` if no answer comes, `EPROTO` if the server has no time to give, `socket.gaierror`
    if there is no such host; `PermissionError` where the clock may not be set.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)[0]
    except socket.gaierror as error:
        error.filename = server
        raise
    # The server sends this back. It is no time: who does not see the question cannot answer it.
    mark = secrets.token_bytes(8)
    with socket.socket(family, socket.SOCK_DGRAM) as channel:
        channel.connect(place)
        sent_ns = time.monotonic_ns()
        channel.send(struct.pack("!B39x8s", _REQUEST, mark))
        message, received_ns = _receive(channel, mark, sent_ns + round(timeout_s * 1e9), server)
    leap, stratum = message[0] >> 6, message[1]
    came_ns, went_ns = (_unix_ns(message[at : at + 8]) for at in (32, 40))
    if stratum == 0:
        raise OSError(errno.EPROTO, f"The server refuses: {message[12:16].decode('ascii', 'replace')}", server)
    if leap == _NOT_SYNCHRONIZED or stratum not in _STRATA or not any(message[40:48]) or went_ns < came_ns:
        raise OSError(errno.EPROTO, "The server does not know the time", server)
    # The middle of question and answer is the same moment here and there.
    there_ns = (came_ns + went_ns) // 2 - (sent_ns + received_ns) // 2
    offset_ns = there_ns + time.monotonic_ns() - time.time_ns()
    if set_clock:
        time.clock_settime_ns(time.CLOCK_REALTIME, there_ns + time.monotonic_ns())
        log.info("clock set by %s, by %+.6f s", server, offset_ns / 1e9, target="kernel.net")
    delay_ns = max(0, received_ns - sent_ns - (went_ns - came_ns))
    return ClockCorrection(server, offset_ns / 1e9, delay_ns / 1e9, stratum)


def _receive(channel: socket.socket, mark: bytes, deadline_ns: int, server: str) -> tuple[bytes, int]:
    """Returns the answer to the question with this mark, and when it came."""
    while (rest_ns := deadline_ns - time.monotonic_ns()) > 0:
        channel.settimeout(rest_ns / 1e9)
        try:
            message = channel.recv(1 << 16)
        except TimeoutError:
            break
        except OSError as error:
            # Nobody has the port, say.
            error.filename = server
            raise
        received_ns = time.monotonic_ns()
        if len(message) >= _LENGTH and message[0] & 7 == _SERVER and message[24:32] == mark:
            return message, received_ns
    raise TimeoutError(errno.ETIMEDOUT, "The server does not answer", server)


def _unix_ns(stamp: bytes) -> int:
    """Returns a time stamp (seconds, and their 2**32nd parts) as nanoseconds since 1970, up to the year 2104."""
    seconds, fraction = int.from_bytes(stamp[:4]), int.from_bytes(stamp[4:])
    # Section 3: without the first bit it is of the era that begins in 2036.
    if seconds < _ERA // 2:
        seconds += _ERA
    return (seconds - _UNIX_EPOCH) * 1_000_000_000 + (fraction * 1_000_000_000 >> 32)
