"""usage: ping [-46q] [-c COUNT] [-i SECONDS] [-s BYTES] [-W SECONDS] HOST

Sends ICMP echo requests to HOST until Ctrl-C and prints the answers; in the end, how many there were and the times
they took. The status is 0 if there was one.

  -4, -6      by IPv4, by IPv6 alone
  -c COUNT    so many requests, not more
  -i SECONDS  the time from one to the next; 1 if not given
  -q          the end alone
  -s BYTES    how many bytes each carries; 56 if not given
  -W SECONDS  how long the answer to the last one may take; 10 if not given
"""

import secrets
import socket
import statistics
import struct
import time
from dataclasses import dataclass

from kernel import net
from kernel.command import CommandError, parse

argv: list[str]

#: The longest that IPv4 carries.
MOST_BYTES = 65_507
HEADER_BYTES = 8
#: Types of ICMP's messages (RFC 792).
UNREACHABLE, TIME_EXCEEDED = 3, 11
PROBLEMS = {
    (UNREACHABLE, 0): "Destination Net Unreachable",
    (UNREACHABLE, 1): "Destination Host Unreachable",
    (UNREACHABLE, 2): "Destination Protocol Unreachable",
    (UNREACHABLE, 3): "Destination Port Unreachable",
    (TIME_EXCEEDED, 0): "Time to live exceeded",
}


@dataclass(frozen=True)
class Version:
    """What differs between ICMP over IPv4 and over IPv6."""

    family: int
    protocol: int
    echo: int
    echo_reply: int
    ip_header_bytes: int


IPV4 = Version(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, 20)
IPV6 = Version(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 40)


def checksum(data: bytes) -> int:
    """Returns the Internet checksum (RFC 1071)."""
    words = (len(data) + 1) // 2
    total: int = sum(struct.unpack(f"!{words}H", data.ljust(2 * words, b"\0")))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Pinger:
    """Pings one address."""

    def __init__(self, version: Version, address: str, size: int, *, is_quiet: bool) -> None:
        self._version = version
        self._address = address
        self._payload = bytes(at % 256 for at in range(size))
        self._is_quiet = is_quiet
        #: What tells our answers from those of others.
        self._ident = secrets.randbits(16)
        self._channel = socket.socket(version.family, socket.SOCK_RAW, version.protocol)
        #: When requests without an answer yet were sent, by number.
        self._waiting: dict[int, float] = {}
        self.sent = self.errors = 0
        self.times_ms: list[float] = []

    def close(self) -> None:
        """Closes the socket."""
        self._channel.close()

    def send(self) -> None:
        """Sends the next request."""
        self.sent += 1
        number = self.sent & 0xFFFF
        head = struct.pack("!BBHHH", self._version.echo, 0, 0, self._ident, number)
        # Over IPv6 the sum covers addresses that the kernel chooses, so it is the one that computes it (RFC 3542).
        value = checksum(head + self._payload) if self._version is IPV4 else 0
        self._waiting[number] = time.monotonic()
        message = head[:2] + struct.pack("!H", value) + head[4:] + self._payload
        self._channel.sendto(message, (self._address, 0))

    def receive_until(self, deadline: float, *, is_last: bool) -> None:
        """Takes answers until then; no longer than there is one to wait for, if `is_last`."""
        while (rest_s := deadline - time.monotonic()) > 0 and not (is_last and not self._waiting):
            self._channel.settimeout(rest_s)
            try:
                packet, source = self._channel.recvfrom(1 << 16)
            except TimeoutError:
                return
            now = time.monotonic()
            ttl = ""
            if self._version is IPV4:
                # A raw socket of IPv4 hands over the IP header too, one of IPv6 does not.
                ttl = f" ttl={packet[8]}"
                packet = packet[(packet[0] & 0x0F) * 4 :]
            self._take(packet, source[0], ttl, now)

    def _take(self, message: bytes, source: str, ttl: str, now: float) -> None:
        """Looks at one message of ICMP."""
        if len(message) < HEADER_BYTES:
            return
        kind, code, _, ident, number = struct.unpack_from("!BBHHH", message)
        if kind == self._version.echo_reply and ident == self._ident:
            sent = self._waiting.pop(number, None)
            again = " (DUP!)" if sent is None else ""
            took = ""
            if sent is not None:
                self.times_ms.append((now - sent) * 1000)
                took = f" time={self.times_ms[-1]:.3f} ms"
            self._say(f"{len(message)} bytes from {source}: icmp_seq={number}{ttl}{took}{again}")
        elif self._version is IPV4 and (kind, code) in PROBLEMS and len(message) > HEADER_BYTES:
            # What it is about follows: our IP header, and the begin of our message.
            about = message[HEADER_BYTES + (message[HEADER_BYTES] & 0x0F) * 4 :]
            if len(about) >= HEADER_BYTES and struct.unpack_from("!BBHH", about)[0::3] == (IPV4.echo, self._ident):
                (number,) = struct.unpack_from("!H", about, 6)
                if self._waiting.pop(number, None) is not None:
                    self.errors += 1
                    self._say(f"From {source} icmp_seq={number} {PROBLEMS[kind, code]}")

    def _say(self, line: str) -> None:
        if not self._is_quiet:
            print(line, flush=True)

    def summary(self, seconds: float) -> str:
        """Returns the lines of the end."""
        errors = f"+{self.errors} errors, " if self.errors else ""
        lost = 100 * (self.sent - len(self.times_ms)) / self.sent if self.sent else 0
        text = (
            f"{self.sent} packets transmitted, {len(self.times_ms)} received, {errors}{lost:.4g}% packet loss, "
            f"time {seconds * 1000:.0f}ms"
        )
        if self.times_ms:
            mean = statistics.fmean(self.times_ms)
            numbers = (min(self.times_ms), mean, max(self.times_ms), statistics.pstdev(self.times_ms, mean))
            text += f"\nrtt min/avg/max/mdev = {'/'.join(f'{number:.3f}' for number in numbers)} ms"
        return text


def seconds_of(text: str) -> float:
    """Returns a time in seconds; raises `CommandError` if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise CommandError(f"{text}: not a time in seconds")
    return value


def find(host: str, flags: frozenset[str]) -> tuple[Version, str]:
    """Returns the address to ping."""
    try:
        addresses = net.resolve(host)
    except ValueError:
        raise CommandError(f"{host}: not a host's name") from None
    for address in addresses:
        version = IPV6 if ":" in address else IPV4
        if not flags & {"4", "6"} or ("6" if version is IPV6 else "4") in flags:
            return version, address
    raise CommandError(f"{host}: has no address of this version of IP")


def main(argv: list[str]) -> None:
    """Pings until it is enough."""
    options = parse(__doc__, argv, flags="46q", values="cisW", least=1, most=1)
    size = options.number("s", 56)
    if size > MOST_BYTES:
        raise CommandError(f"{size}: a packet carries {MOST_BYTES} bytes at most")
    most = options.number("c", 0) if "c" in options else None
    interval_s, patience_s = seconds_of(options.values.get("i", "1")), seconds_of(options.values.get("W", "10"))
    host = options.operands[0]
    version, address = find(host, options.flags)
    pinger = Pinger(version, address, size, is_quiet="q" in options)
    began = time.monotonic()
    print(f"PING {host} ({address}) {size}({size + HEADER_BYTES + version.ip_header_bytes}) bytes of data.", flush=True)
    try:
        while most is None or pinger.sent < most:
            pinger.send()
            is_last = pinger.sent == most
            pinger.receive_until(time.monotonic() + (patience_s if is_last else interval_s), is_last=is_last)
    except KeyboardInterrupt:
        print()
    except OSError as error:
        error.filename = host
        raise
    finally:
        pinger.close()
    print(f"--- {host} ping statistics ---\n{pinger.summary(time.monotonic() - began)}")
    raise SystemExit(0 if pinger.times_ms else 1)


main(argv)
