"""How a line is set up, and what is said where it cannot be."""

from __future__ import annotations

import socket

import pytest

from runtime.errors import Unreachable, UsageFault
from worker.phone import process
from worker.phone.config import LineConfig
from worker.phone.ports import free_listen


@pytest.mark.parametrize(
    ("listen", "address", "port", "interface"),
    [
        ("127.0.0.1:5060", "127.0.0.1", 5060, "127.0.0.1"),
        ("localhost:5070", "127.0.0.1", 5070, "127.0.0.1"),
        ("0.0.0.0:5060", "0.0.0.0", 5060, None),  # noqa: S104 - only parsed
        ("[::1]:5060", "::1", 5060, "::1"),
    ],
)
def test_the_address(listen: str, address: str, port: int, interface: str | None) -> None:
    config = LineConfig(listen)
    assert (str(config.address), config.port, config.interface) == (address, port, interface)


@pytest.mark.parametrize("listen", ["", "5060", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "host:5060", "1.2.3:1\n"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(UsageFault, match="ADDRESS:PORT"):
        LineConfig(listen)


def test_rtp_ports_are_a_range() -> None:
    with pytest.raises(UsageFault, match="RTP ports 4-3"):
        LineConfig(rtp_ports=(4, 3))


def test_only_an_address_that_others_reach_is_warned_of() -> None:
    assert not LineConfig("127.0.0.1:5060").warning
    warning = LineConfig("0.0.0.0:5060", rtp_ports=(40000, 40999)).warning
    for words in ("0.0.0.0:5060", "cannot authenticate", "no TLS", "40000-40999", "every interface", "SBC", "firewall"):
        assert words in warning


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_is_taken(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(Unreachable) as caught:
            free_listen(LineConfig(f"127.0.0.1:{port}"))
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "already in use" in caught.value.message
    assert "--listen" in caught.value.remedy


def test_an_address_of_another_machine() -> None:
    with pytest.raises(Unreachable, match=r"192\.0\.2\.1:5060"):
        free_listen(LineConfig("192.0.2.1:5060"))


def test_port_0_becomes_a_free_one() -> None:
    host, _, port = free_listen(LineConfig("127.0.0.1:0")).rpartition(":")
    assert (host, int(port) > 1023) == ("127.0.0.1", True)


async def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda _name: None)
    host = process.HostProcess(lambda _report: None, lambda _call, _pcm: None)
    with pytest.raises(Unreachable, match="baresip-python") as caught:
        await host.start(LineConfig("127.0.0.1:0"))
    assert "patchbay[phone]" in caught.value.remedy
