"""Which addresses a stored config may reach: a name is looked up once, and what was checked is what gets connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["AddressRefused", "Allowed", "is_loopback", "is_public", "may_reach", "nothing_private", "resolve"]

Allowed: TypeAlias = Callable[[str, int], bool]
"""Tells whether the operator named this host (or address) and port, although it is private."""

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Public by its number, private by its use: Azure's platform address, which hands out machine credentials.
_METADATA = frozenset({ipaddress.IPv4Address("168.63.129.16")})


class AddressRefused(Exception):
    """A host is, or leads to, an address that is not public and that the operator has not named."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is not a public address; PATCHBAY_ALLOW_PRIVATE_HOSTS does not name it")
        self.host = host
        self.port = port


def nothing_private(_host: str, _port: int) -> bool:
    """Allow no private address at all."""
    return False


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its name or address, without asking anybody."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the open internet; IPv4 inside IPv6 counts as what it carries."""
    carried = _carried(ipaddress.ip_address(address))
    return carried.is_global and not carried.is_multicast and not carried.is_reserved and carried not in _METADATA


def may_reach(host: str, port: int, allowed: Allowed) -> bool:
    """Tell, without looking anything up, whether `host` could be reached: false for private literals and `localhost`."""
    if allowed(host, port):
        return True
    try:
        return is_public(host.strip("[]"))
    except ValueError:
        return host.casefold().rstrip(".").rpartition(".")[2] != "localhost"


async def resolve(host: str, port: int, allowed: Allowed) -> tuple[str, ...]:
    """Return the addresses of `host` that may be reached, in the resolver's order.

    Raises `AddressRefused` where none of them may be, OSError where the name has no address.
    """
    found = await _look_up(host, port)
    if allowed(host, port):
        return found
    open_ones = tuple(address for address in found if is_public(address) or allowed(address, port))
    if not open_ones:
        raise AddressRefused(host, port)
    return open_ones


async def _look_up(host: str, port: int) -> tuple[str, ...]:
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError as fault:  # UnicodeError for a label that is too long, ValueError for a NUL
        raise OSError(f"{host!r} is no host name") from fault
    return tuple(dict.fromkeys(str(row[4][0]) for row in rows))


def _carried(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 one stands for, since a gateway would connect to that."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address
