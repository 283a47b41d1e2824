"""usage: ifconfig [NAME] [dhcp | ADDRESS/LENGTH...] [up | down] [gateway ADDRESS] [dns ADDRESS,...] [hostname NAME]

Shows the network interfaces, or the one called NAME; or sets what is given. NAME may be left out where there is one
card.

  dhcp             ask a DHCP server for an address
  ADDRESS/LENGTH   have this address: 10.0.2.50/24, or 10.0.2.50 netmask 255.255.255.0
  up, down         start, stop
  gateway ADDRESS  send packets to other networks there; `gateway none`: nowhere
  dns ADDRESS,...  ask these name servers, 3 at most
  hostname NAME    call the machine so
"""

from kernel import net
from kernel.command import CommandError, parse

argv: list[str]

#: Words that others follow.
KEYS = ("netmask", "gateway", "dns", "hostname")


def main(argv: list[str]) -> None:
    """Shows or sets."""
    words = parse(__doc__, argv, flags="a").operands
    name = words.pop(0) if words and words[0] in net.interfaces else None
    if not words:
        print(net.ifconfig() if name is None else net.interfaces[name])
        return
    addresses: list[str] = []
    values: dict[str, str] = {}
    flags: set[str] = set()
    rest = iter(words)
    for word in rest:
        if word in KEYS:
            if (value := next(rest, None)) is None:
                raise CommandError(f"{word}: its value is missing")
            values[word] = value
        elif word in ("dhcp", "up", "down"):
            flags.add(word)
        elif word[0].isdigit() or ":" in word:
            addresses.append(word)
        else:
            raise CommandError(f"{word}: no such interface or setting (try `ifconfig --help`)")
    if {"up", "down"} <= flags:
        raise CommandError("either up or down")
    if "netmask" in values:
        if len(addresses) != 1 or "/" in addresses[0]:
            raise CommandError("netmask: wants one address without a length")
        addresses = [f"{addresses[0]}/{values['netmask']}"]
    gateway = values.get("gateway")
    try:
        net.ifconfig(
            name,
            dhcp=True if "dhcp" in flags else None,
            addresses=addresses or None,
            gateway="" if gateway == "none" else gateway,
            dns=values["dns"].split(",") if "dns" in values else None,
            hostname=values.get("hostname"),
            up="up" in flags if flags & {"up", "down"} else None,
        )
    except ValueError as error:
        raise CommandError(str(error)) from None


main(argv)
