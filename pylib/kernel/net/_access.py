"""Who is let in to the Python shell over TCP: the kernel options `repl.listen` and `repl.token`."""

import os
from typing import Final, NamedTuple

#: Where QEMU's user network shows the machine that it runs on, whose forwarded ports lead here.
USER_NET_HOST: Final = "10.0.2.2"

_LISTEN: Final = ("off", "user-net", "all")


class BadOption(ValueError):
    """A kernel option has a value that means nothing; the message says which are allowed."""


class Access(NamedTuple):
    """What is let in: nobody (`off`), the host of QEMU's user network (`user-net`), or whoever has the token.

    `token` is None where none is asked for; `is_token_made` says that nobody has chosen it.
    """

    listen: str = "all"
    token: str | None = None
    is_token_made: bool = False

    def refusal(self, address: str) -> str | None:
        """Returns why a client with this address is sent away; None if it is not."""
        # Here, not at the top, as below: booting does not wait for what clients need.
        import ipaddress

        peer = ipaddress.ip_address(address)
        # An IPv6 socket shows IPv4 clients by mapped addresses.
        peer = getattr(peer, "ipv4_mapped", None) or peer
        if self.listen == "user-net" and str(peer) != USER_NET_HOST and not peer.is_loopback:
            return f"PythonOS: {peer} is not let in; the kernel option repl.listen=all lets in who has the token"
        return None

    def is_token(self, typed: bytes) -> bool:
        """Tells whether it is the token, in a time that does not tell how much of it was right."""
        import hmac

        return self.token is None or hmac.compare_digest(typed, self.token.encode())


def read(command_line: str) -> Access:
    """Returns what a kernel command line says; raises `BadOption`.

    Where it says nothing, who has the token is let in, and the token is made anew.
    """
    options = {}
    for word in _split(command_line):
        if word == "--":
            break
        key, _, value = word.partition("=")
        options[key] = value
    listen = options.get("repl.listen", "all")
    if listen not in _LISTEN:
        raise BadOption(f"repl.listen={listen}: want {', '.join(_LISTEN[:-1])} or {_LISTEN[-1]}")
    token = options.get("repl.token")
    if token == "":
        raise BadOption("repl.token is empty: want a word that nobody guesses")
    if token is None and listen == "all":
        return Access(listen, os.urandom(12).hex(), is_token_made=True)
    return Access(listen, token)


def _split(command_line: str) -> list[str]:
    """Returns the words as the kernel splits them: as a POSIX shell does."""
    if not set(command_line) & set("'\"\\"):
        return command_line.split()
    import shlex

    return shlex.split(command_line)
