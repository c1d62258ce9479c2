"""The port for health and metrics, taken before there is anything to say on it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from runtime.errors import UsageFault

__all__ = ["Address", "held"]

Connection = Callable[[], asyncio.Protocol]


@dataclass(slots=True)
class Address:
    """A port that is held. Who connects before `answer` waits for it."""

    host: str
    sockets: list[socket.socket]
    servers: list[asyncio.Server] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port's number, where 0 was asked for the one that was chosen."""
        return int(self.sockets[0].getsockname()[1])

    async def answer(self, connection: Connection) -> None:
        """Have each connection served by what `connection` makes."""
        loop = asyncio.get_running_loop()
        for each in self.sockets:
            self.servers.append(await loop.create_server(connection, sock=each))

    def close(self) -> None:
        """Give the port back. Idempotent."""
        for server in self.servers:
            server.close()
        for each in self.sockets:
            each.close()


@asynccontextmanager
async def held(host: str, port: int) -> AsyncIterator[Address]:
    """Yield the address, and give it back at the end. Port 0 chooses one.

    Raises UsageFault naming PATCHBAY_HTTP_PORT or PATCHBAY_HTTP_HOST where it cannot be had.
    """
    address = Address(host, [])
    try:
        await _listen(address, port)
        yield address
    finally:
        address.close()


async def _listen(address: Address, port: int) -> None:
    # They listen from the start: a port that is only bound can be bound by a second program, and which of them lost shows late.
    loop, absent = asyncio.get_running_loop(), None
    try:
        found = await loop.getaddrinfo(address.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, where in dict.fromkeys(found):
            try:
                address.sockets.append(socket.create_server(where[:2], family=family, backlog=100))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                absent = error  # `localhost` means two addresses, also where this machine has one of them
        if absent is not None and not address.sockets:
            raise absent
    except OSError as error:
        raise _unusable(address.host, port, error) from None


def _unusable(host: str, port: int, error: OSError) -> UsageFault:
    if error.errno == errno.EADDRINUSE:
        return UsageFault(
            f"Port {port} on {host} is taken, and health and metrics are to be served there.",
            remedy="Set PATCHBAY_HTTP_PORT to a free port, or end the program that has it (another worker?).",
        )
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return UsageFault(
        f"Health and metrics cannot be served on {host}, port {port}: {why}.",
        remedy="Set PATCHBAY_HTTP_HOST to an address of this machine, and PATCHBAY_HTTP_PORT to a port you may use.",
    )
