"""Opens what the API stands on, and serves it until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import structlog
import uvicorn

from api.app import create_app
from api.auth import open_authenticator
from api.checking import load_providers
from api.services import Services
from api.testing.sessions import open_test_sessions
from runtime.session.drain import drain
from runtime.settings import Settings
from runtime.store.opening import open_settings_store
from runtime.store.opening_rows import open_row_access
from runtime.store.secrets import keyring_of
from runtime.tasks import spawn
from runtime.voice.pipeline import warm

__all__ = ["open_services", "serve"]

_log = structlog.get_logger("api")
_GRACE_S = 10
_SOCKET_BYTES = 1024 * 1024
_PING_S = 20.0


@asynccontextmanager
async def open_services(settings: Settings, *, offline: bool = False, dev: bool = False) -> AsyncIterator[Services]:
    """Yield what requests share; with `dev` as for one person on one machine. On the way out test calls are ended, and what they wrote is stored.

    Raises `PatchbayError` where the database cannot be reached or has not this release's schema.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_settings_store(settings))
        rows = await stack.enter_async_context(open_row_access(settings))
        keyring = keyring_of(settings)
        warm(local=offline)  # here, on the main thread, and not during somebody's first request
        load_providers()
        await drain(
            settings.events_folder,
            store,
            report=lambda code, message: _log.warning("drain", code=code, message=message),
        )
        yield Services(
            settings=settings,
            store=store,
            access=rows.access,
            keyring=keyring,
            authenticator=await stack.enter_async_context(open_authenticator(settings, rows.access, local=dev)),
            tests=await stack.enter_async_context(
                open_test_sessions(settings, store, keyring, offline=offline, loopback_models=dev)
            ),
            database=rows.database,
        )


async def serve(services: Services, listening: socket.socket, *, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until cancelled; what is under way gets 10 seconds then. Closes the socket."""
    config = uvicorn.Config(
        create_app(services),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=_SOCKET_BYTES,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        timeout_graceful_shutdown=_GRACE_S,
        lifespan="off",
    )
    server = _Server(config, on_ready or _nothing)
    serving = spawn(server.serve(sockets=[listening]), name="api server")
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving
        listening.close()
        _log.info("stopped")


class _Server(uvicorn.Server):
    """A server whose process belongs to somebody else: signals are the command's."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def _nothing() -> None:
    """Nobody waits for the server."""
