"""Public and private addresses, and what a name may lead to."""

from __future__ import annotations

import asyncio

import pytest

from runtime.addresses import AddressRefused, is_public, may_reach, nothing_private, resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "0.0.0.0",  # noqa: S104 - as a target, not to listen on
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_private(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("host", "reachable"),
    [
        ("localhost", False),
        ("LOCALHOST.", False),
        ("x.localhost", False),
        ("127.0.0.1", False),
        ("[::1]", False),
        ("api.acme.example", True),
        ("1.1.1.1", True),
    ],
)
def test_what_can_be_told_without_a_look_up(host: str, reachable: bool) -> None:
    assert may_reach(host, 443, nothing_private) is reachable


def test_named_hosts_may_be_reached() -> None:
    assert may_reach("localhost", 11434, lambda host, port: (host, port) == ("localhost", 11434))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "::1"])
async def test_every_spelling_of_loopback_is_refused(host: str) -> None:
    with pytest.raises((AddressRefused, OSError)) as caught:
        await resolve(host, 80, nothing_private)
    assert isinstance(caught.value, AddressRefused) or "127" not in str(await _first(host))


async def _first(host: str) -> object:
    try:
        return await asyncio.get_running_loop().getaddrinfo(host, 80)
    except OSError:
        return ""


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "x\x00y", "nowhere.invalid"])
async def test_what_is_no_host_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError):
        await resolve(host, 80, nothing_private)


async def test_an_allowed_name_leads_to_its_addresses() -> None:
    assert await resolve("127.0.0.1", 80, lambda _host, _port: True) == ("127.0.0.1",)


async def test_an_allowed_address_is_left_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(host: str, port: int, **_kind: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (address, port)) for address in ("10.0.0.1", "1.1.1.1", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    assert await resolve("mixed.example", 80, lambda host, _port: host == "127.0.0.1") == ("1.1.1.1", "127.0.0.1")
