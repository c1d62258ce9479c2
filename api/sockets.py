"""The socket that the API listens on, or why it cannot be had."""

from __future__ import annotations

import errno
import socket

from runtime.errors import UsageFault

__all__ = ["listening_socket"]


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens there (port 0 chooses one); raises UsageFault naming what to change where it cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
    except OSError as error:
        raise UsageFault(
            f"{host} is no address to serve the API on: {error.strerror}.",
            remedy="Name one with --host, such as 127.0.0.1.",
        ) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise _unusable(host, port, error) from None
    return listening


def _unusable(host: str, port: int, error: OSError) -> UsageFault:
    if error.errno == errno.EADDRINUSE:
        return UsageFault(
            f"Port {port} on {host} is taken.",
            remedy="Name another with --port, or end the program that has it (another API?).",
        )
    return UsageFault(
        f"The API cannot be served on {host}, port {port}: {error.strerror or error}.",
        remedy="Name an address of this machine with --host, and a port you may use with --port.",
    )
