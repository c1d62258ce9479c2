"""Whether a SIP line's address is free, asked before a stack is started that would only say that it failed."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from runtime.errors import Unreachable
from worker.phone.config import Address, LineConfig
from worker.phone.numbers import host_of

__all__ = ["address_towards", "free_listen"]

_TRIES = 20


def address_towards(target: str) -> str:
    """Return this machine's address on the way to a SIP address or HOST[:PORT], as `--listen` takes it; nothing is sent."""
    host = host_of(target) or target
    host, _, _ = host.rpartition(":") if host.count(":") == 1 else (host, "", "")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), 5060, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            own = str(probe.getsockname()[0])
    except OSError:  # the stack says what is wrong with it
        return "127.0.0.1"
    return f"[{own}]" if ":" in own else own


def free_listen(config: LineConfig) -> str:
    """Return ADDRESS:PORT to listen on, with a port that is free for UDP and TCP; port 0 becomes one that is.

    Raises Unreachable naming the address and the remedy.
    """
    for attempt in range(_TRIES):
        try:
            port = _bound(config.address, config.port)
        except OSError as error:
            if config.port or attempt == _TRIES - 1:
                raise _taken(config, error) from None
        else:
            return f"[{config.address}]:{port}" if config.address.version == 6 else f"{config.address}:{port}"
    raise AssertionError


def _bound(address: Address, port: int) -> int:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with ExitStack() as stack:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            probe = stack.enter_context(socket.socket(family, kind))
            if kind == socket.SOCK_STREAM:  # calls that have just ended hold nothing
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((str(address), port))
            port = probe.getsockname()[1]
    return port


def _taken(config: LineConfig, error: OSError) -> Unreachable:
    why = error.strerror or str(error)
    return Unreachable(
        f"The SIP line cannot listen on {config.listen}: {why[0].lower()}{why[1:]}.",
        remedy=(
            f"Another program may hold it (`ss -lnp 'sport = :{config.port}'` tells which), or the address is none of this"
            f" machine's. End the other one, or name another address or port: --listen {config.address}:{_other(config.port)}"
        ),
    )


def _other(port: int) -> int:
    return port + 10 if port < 65525 else 5070
