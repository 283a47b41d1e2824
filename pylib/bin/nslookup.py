"""usage: nslookup [-p PORT] [-t SECONDS] NAME [SERVER]

Prints the addresses of a host, or the name of an address. Without SERVER it finds what every program finds, by
/etc/hosts and the name servers of /etc/resolv.conf; SERVER, a name server's address, is asked alone.

  -p PORT     SERVER's UDP port; 53 if not given
  -t SECONDS  how long SERVER may take; 5 if not given
"""

from ipaddress import ip_address

from kernel import net
from kernel.command import CommandError, parse

argv: list[str]


def is_address(text: str) -> bool:
    """Tells whether it is an address, not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def main(argv: list[str]) -> None:
    """Looks one name up."""
    options = parse(__doc__, argv, values="pt", least=1, most=2)
    name, *servers = options.operands
    server = servers[0] if servers else None
    if server is not None and not is_address(server):
        raise CommandError(f"{server}: not an address")
    if server is None and options.values:
        raise CommandError("-p and -t are about SERVER, which is missing")
    port, timeout_s = options.number("p", 53), options.number("t", 5)
    try:
        if is_address(name):
            lines = [f"Name:    {net.reverse(name, server=server, port=port, timeout_s=timeout_s)}", f"Address: {name}"]
        else:
            found = net.resolve(name, server=server, port=port, timeout_s=timeout_s)
            lines = [f"Name:    {name}", *(f"Address: {address}" for address in found)]
    except ValueError:
        # Labels of no or too many letters.
        raise CommandError(f"{name}: not a host's name") from None
    if server is not None:
        print(f"Server:  {server}")
    print("\n".join(lines))


main(argv)
