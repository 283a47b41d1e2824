"""Package `kernel.net` on the fake machine, and with servers of the test on the host's loopback."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_hal import FakeHal, interface_row
from net_servers import answering, name_server, time_server

from kernel import net
from kernel.net import _configuration, _interfaces

ETH0 = """\
eth0: <up,dhcp>  mtu 1500
        inet 10.0.2.15/24
        ether 52:54:00:12:34:56
        lease of 10.0.2.2 for another 3600 s
        RX packets 201  bytes 200  errors 202  dropped 203
        TX packets 205  bytes 204  errors 206  dropped 207"""
LO = """\
lo: <up>  mtu 65536
        inet 127.0.0.1/8
        inet6 ::1/128
        RX packets 101  bytes 100  errors 102  dropped 103
        TX packets 105  bytes 104  errors 106  dropped 107"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hal: FakeHal) -> Path:
    """The resolver's files, and a clock and a machine's name that stay."""
    (tmp_path / "hosts").write_text("127.0.0.1\tlocalhost\n127.0.1.1\tpythonos\n")
    (tmp_path / "resolv.conf").write_text("# by DHCP\nnameserver 10.0.2.3\noptions timeout:1\n")
    monkeypatch.setattr(_configuration, "HOSTS", str(tmp_path / "hosts"))
    monkeypatch.setattr(_configuration, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    hal.net_rows[1]["lease"]["expires"] = 5000.0
    monkeypatch.setattr(_interfaces, "time", SimpleNamespace(monotonic=lambda: 1400.0))
    return tmp_path


# -- interfaces ---------------------------------------------------------------------------------


def test_interfaces_are_what_is_there_now(hal: FakeHal) -> None:
    assert [interface.name for interface in net.interfaces] == ["lo", "eth0"]
    card = net.interfaces["eth0"]
    assert (card.mac, card.mtu, card.addresses, card.is_up) == ("52:54:00:12:34:56", 1500, ("10.0.2.15/24",), True)
    assert card.lease == net.Lease("10.0.2.2", 5000.0, "10.0.2.2", ("10.0.2.3",))
    assert (card.rx_bytes, card.tx_dropped) == (200, 207)
    assert "eth1" not in net.interfaces
    hal.net_rows.append(interface_row("eth1", 3, []))
    assert "eth1" in net.interfaces
    assert len(net.interfaces) == len(net.interfaces()) == 3
    with pytest.raises(KeyError):
        net.interfaces["eth2"]


def test_interfaces_show_themselves(hal: FakeHal) -> None:
    assert repr(net.interfaces) == f"{LO}\n{ETH0}"
    assert repr(net.routes) == "default via 10.0.2.2 dev eth0\n10.0.2.0/24 dev eth0"
    assert repr(net.sockets) == "<no sockets>"
    hal.net_rows[1]["up"] = False
    assert str(net.interfaces["eth0"]).startswith("eth0: <down,dhcp>  mtu 1500\n")


def test_sockets(hal: FakeHal) -> None:
    row = {"protocol": "tcp", "local": ("0.0.0.0", 5000), "remote": None, "state": "LISTEN"}
    hal.socket_rows = [row | {"receive_queue": 0, "send_queue": 0}]
    assert net.sockets() == [net.SocketInfo("tcp", ("0.0.0.0", 5000), None, "LISTEN", 0, 0)]


# -- ifconfig -----------------------------------------------------------------------------------


def test_ifconfig_shows_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = net.ifconfig()
    end = f"gateway 10.0.2.2 by eth0\nname servers 10.0.2.3\nhost name {socket.gethostname()}"
    assert repr(shown) == f"{LO}\n{ETH0}\n{end}"
    assert repr(net.ifconfig("eth0")) == f"{ETH0}\n{end}"
    assert shown.name_servers == ("10.0.2.3",)


def test_ifconfig_sets_static_addresses(hal: FakeHal) -> None:
    found = net.ifconfig("eth0", addresses=["10.0.2.50/24", "10.0.2.51/24"], gateway="10.0.2.9")
    (card,) = found.interfaces
    assert (card.addresses, card.uses_dhcp, card.lease) == (("10.0.2.50/24", "10.0.2.51/24"), False, None)
    assert [route.gateway for route in found.gateways] == ["10.0.2.9"]
    assert net.ifconfig("eth0", gateway="").gateways == ()
    assert net.ifconfig("eth0", up=False).interfaces[0].is_up is False
    assert net.ifconfig("eth0", dhcp=True).interfaces[0].uses_dhcp is True


def test_ifconfig_finds_the_only_card(hal: FakeHal) -> None:
    net.ifconfig(addresses="10.0.2.50/24")
    assert net.interfaces["eth0"].addresses == ("10.0.2.50/24",)
    hal.net_rows.append(hal.net_rows[1] | {"name": "eth1"})
    with pytest.raises(ValueError, match="which interface"):
        net.ifconfig(dhcp=True)
    del hal.net_rows[1:]
    with pytest.raises(ValueError, match="no network card"):
        net.ifconfig(dhcp=True)


def test_ifconfig_writes_name_servers_and_keeps_options(files: Path) -> None:
    assert net.ifconfig(dns=["10.0.2.9", "fe80::1"]).name_servers == ("10.0.2.9", "fe80::1")
    assert (files / "resolv.conf").read_text() == (
        "# by DHCP\noptions timeout:1\nnameserver 10.0.2.9\nnameserver fe80::1\n"
    )
    assert net.ifconfig(dns="10.0.2.3").name_servers == ("10.0.2.3",)
    assert net.ifconfig(dns=[]).name_servers == ()


def test_ifconfig_does_without_the_resolvers_files(files: Path) -> None:
    (files / "resolv.conf").unlink()
    assert net.ifconfig().name_servers == ()
    assert net.ifconfig(dns="10.0.2.3").name_servers == ("10.0.2.3",)


def test_ifconfig_names_the_machine(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(socket, "sethostname", names.append)
    net.ifconfig(hostname="engine-1")
    assert names == ["engine-1"]
    assert (files / "hosts").read_text() == "127.0.0.1\tlocalhost\n127.0.1.1\tengine-1\n"


def test_ifconfig_refuses_what_makes_no_sense(hal: FakeHal, files: Path) -> None:
    before = net.interfaces(), (files / "resolv.conf").read_text()
    for settings in (
        {"dns": "ten"},
        {"dns": ["10.0.0.1"] * 4},
        {"hostname": ""},
        {"hostname": "a b"},
        {"hostname": "-a"},
        {"hostname": "a" * 65},
        {"addresses": "10.0.2.300/24"},
        {"addresses": "10.0.2.50"},
        {"addresses": "10.0.2.50/24", "dhcp": True},
        {"gateway": "x"},
        # What is wrong is found before anything is set.
        {"addresses": "10.0.2.50/24", "dns": "ten"},
    ):
        with pytest.raises(ValueError):
            net.ifconfig("eth0", **settings)  # type: ignore[arg-type]
    with pytest.raises(OSError) as caught:
        net.ifconfig("eth9", up=True)
    assert (caught.value.errno, caught.value.filename) == (errno.ENODEV, "eth9")
    assert (net.interfaces(), (files / "resolv.conf").read_text()) == before


# -- names --------------------------------------------------------------------------------------


def test_resolve_asks_the_library() -> None:
    assert "127.0.0.1" in net.resolve("localhost")
    assert net.resolve("::1") == ["::1"]
    with pytest.raises(socket.gaierror) as caught:
        net.resolve("a name.invalid")
    assert caught.value.filename == "a name.invalid"


def test_resolve_asks_one_server() -> None:
    with answering(name_server) as port:
        for name in ("host.test", "Host.test."):
            assert net.resolve(name, server="127.0.0.1", port=port) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
        assert net.reverse("192.0.2.1", server="127.0.0.1", port=port) == "host.test"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing.test", "Name does not resolve"),
        ("empty.test", "No address for this name"),
        ("broken.test", "The name server answers with error 2"),
    ],
)
def test_resolve_tells_what_the_server_says(name: str, reason: str) -> None:
    with answering(name_server) as port, pytest.raises(socket.gaierror) as caught:
        net.resolve(name, server="127.0.0.1", port=port)
    assert (caught.value.strerror, caught.value.filename) == (reason, name)


@pytest.mark.parametrize("name", ["silent.test", "forged.test", "circle.test"])
def test_resolve_takes_no_other_answer(name: str) -> None:
    with answering(name_server) as port, pytest.raises(TimeoutError) as caught:
        net.resolve(name, server="127.0.0.1", port=port, timeout_s=0.1)
    assert caught.value.filename == "127.0.0.1"


def test_resolve_asks_again() -> None:
    questions: list[bytes] = []

    def answer(question: bytes) -> bytes | None:
        questions.append(question)
        return name_server(question) if len(questions) > 1 else None

    with answering(answer) as port:
        found = net.resolve("host.test", server="127.0.0.1", port=port, timeout_s=3)
    assert found[0] == "192.0.2.1"
    assert questions[0] == questions[1]


@pytest.mark.parametrize("name", ["a..b", "a" * 64])
def test_resolve_refuses_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError):
        net.resolve(name, server="127.0.0.1", port=9)


# -- the clock ----------------------------------------------------------------------------------

@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the clock was set to, as clock and nanoseconds."""
    settings: list[tuple[int, int]] = []
    monkeypatch.setattr(time, "clock_settime_ns", lambda clock, ns: settings.append((clock, ns)), raising=False)
    return settings


# The last is in 2041, in another era.
@pytest.mark.parametrize("ahead_s", [0.0, 3600.0, -1e8, 4.5e8])
def test_ntp_sets_the_clock(clock: list[tuple[int, int]], hal: FakeHal, ahead_s: float) -> None:
    with answering(time_server(ahead_s)) as port:
        before = time.time() + ahead_s
        found = net.ntp("127.0.0.1", port=port)
        after = time.time() + ahead_s
    assert (found.server, found.stratum) == ("127.0.0.1", 2)
    # A busy host may do other things between two looks at the clock.
    assert abs(found.offset_s - ahead_s) < 10
    ((kind, ns),) = clock
    assert kind == time.CLOCK_REALTIME
    # The two halves of the way there and back may differ.
    assert before - found.delay_s - 1e-3 <= ns / 1e9 <= after + found.delay_s + 1e-3
    assert hal.lines == [(1, "kernel.net", f"clock set by 127.0.0.1, by {found.offset_s:+.6f} s")]


def test_ntp_may_only_tell(clock: list[tuple[int, int]]) -> None:
    with answering(time_server(60.0)) as port:
        assert round(net.ntp("127.0.0.1", port=port, set_clock=False).offset_s) == 60
    assert clock == []


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (time_server(0, stratum=0, leap=3), "The server refuses: RATE"),
        (time_server(0, leap=3), "The server does not know the time"),
        (time_server(0, stratum=16), "The server does not know the time"),
    ],
)
def test_ntp_refuses_servers_without_time(
    clock: list[tuple[int, int]], server: Callable[[bytes], bytes], reason: str
) -> None:
    with answering(server) as port, pytest.raises(OSError) as caught:
        net.ntp("127.0.0.1", port=port)
    assert (caught.value.errno, caught.value.strerror, clock) == (errno.EPROTO, reason, [])


@pytest.mark.parametrize(
    "server", [lambda _: None, lambda _: b"short", time_server(0, mark=1), time_server(0, kind=3)]
)
def test_ntp_takes_no_other_answer(clock: list[tuple[int, int]], server: Callable[[bytes], bytes | None]) -> None:
    with answering(server) as port, pytest.raises(TimeoutError):
        net.ntp("127.0.0.1", port=port, timeout_s=0.1)
    assert clock == []


def test_ntp_hears_that_nobody_is_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(ConnectionRefusedError) as caught:
        net.ntp("127.0.0.1", port=port)
    assert caught.value.filename == "127.0.0.1"
