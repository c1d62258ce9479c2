"""How a SIP line is set up, checked before anything is started."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TypeAlias

from runtime.errors import UsageFault

__all__ = ["LineConfig"]

_LISTEN = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<four>[^:\[\]]+)):(?P<port>[0-9]{1,5})")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_EXPOSED = (
    "The SIP line listens on {listen}. It cannot authenticate who calls, it has no TLS and no SRTP, and its RTP ports"
    " ({first}-{last}) are open on every interface: let only your SBC or carrier reach them, by firewall."
    " For calls from the internet use LiveKit SIP."
)


@dataclass(frozen=True, slots=True)
class LineConfig:
    """`listen` is ADDRESS:PORT (port 0: any free one); raises UsageFault where it is not. 0.0.0.0 is every interface but loopback.

    `max_calls` None: no limit of the line's own; further callers hear busy. `rtp_ports` are the first and the last,
    two for each call. After `rtp_timeout_s` (whole seconds) without sound from the other side a call is lost. `via` is the SIP
    server (HOST or HOST:PORT) through which numbers are called; a transfer goes to the caller's own host without it.
    """

    listen: str = "127.0.0.1:5060"
    max_calls: int | None = None
    rtp_ports: tuple[int, int] = (30000, 31999)
    rtp_timeout_s: int = 15
    via: str | None = None
    answer_timeout_s: float = 30.0
    transfer_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        _split(self.listen)
        first, last = self.rtp_ports
        if not 1024 <= first < last <= 65535:
            raise UsageFault(
                f"RTP ports {first}-{last} are no range.",
                remedy="Name two ports from 1024 to 65535, such as 30000-31999.",
            )

    @property
    def address(self) -> Address:
        """The address to listen on."""
        return _split(self.listen)[0]

    @property
    def port(self) -> int:
        """The port to listen on."""
        return _split(self.listen)[1]

    @property
    def interface(self) -> str | None:
        """The address that calls go out from, or None where all are listened on."""
        return None if self.address.is_unspecified else str(self.address)

    @property
    def warning(self) -> str:
        """What an operator has to know of this set-up; empty on loopback, where nobody else can ring."""
        if self.address.is_loopback:
            return ""
        first, last = self.rtp_ports
        return _EXPOSED.format(listen=self.listen, first=first, last=last)


def _split(listen: str) -> tuple[Address, int]:
    found = _LISTEN.fullmatch(listen)
    host = (found["six"] or found["four"]) if found else ""
    port = int(found["port"]) if found else 0
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise _no_address(listen) from None
    if port > 65535:
        raise _no_address(listen)
    return address, port


def _no_address(listen: str) -> UsageFault:
    return UsageFault(
        f"A SIP line cannot listen on {listen!r}: that is not ADDRESS:PORT.",
        remedy="Write for example 127.0.0.1:5060, or the address of one of this machine's interfaces.",
    )
