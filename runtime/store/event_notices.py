"""Who waits for new events is woken: by the database's word where it is heard, by a look now and then anyway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from runtime.errors import StoreUnreachable
from runtime.store import faults
from runtime.store.pool import Connection, Database
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["EventNotices", "Watch"]

_CHANNEL = "patchbay_events"
# A connection that a firewall forgot looks alive until something is sent on it.
_HEARTBEAT_S = 30.0
_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0
_CLOSE_S = 2.0

_log = structlog.get_logger("store")


class Watch:
    """One who waits for events: of one session, or of any where `session_id` is None."""

    def __init__(self, session_id: str | None) -> None:
        self.session_id = session_id
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    def rest(self) -> None:
        """Forget what was heard; to be called before looking, so that nothing is missed in between."""
        self._woken.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait until there may be something new; False where nothing was heard for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True


class EventNotices:
    """Listens on one connection for as long as anybody watches; without a database nobody is woken, and all look by themselves."""

    def __init__(self, database: Database | None) -> None:
        self._database = database
        self._watches: set[Watch] = set()
        self._keeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self, session_id: str | None) -> AsyncIterator[Watch]:
        """Yield a watch that is woken whenever events of the session (or of any) were stored."""
        watch = Watch(session_id)
        self._watches.add(watch)
        if self._keeper is None and self._database is not None:
            self._keeper = spawn(self._keep(self._database), name="live-events")
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            if not self._watches and self._keeper is not None:
                keeper, self._keeper = self._keeper, None
                await cancel_and_wait(keeper)

    async def _keep(self, database: Database) -> None:
        delay = _FIRST_RETRY_S
        while True:
            try:
                connection = await database.dedicated()
            except StoreUnreachable as away:
                _log.warning("live_events_by_looking", reason=away.message)
            else:
                delay = _FIRST_RETRY_S
                await self._listen(connection)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_RETRY_S)

    async def _listen(self, connection: Connection) -> None:
        """Wake whom the connection's word concerns, until it is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())
        try:
            await connection.add_listener(_CHANNEL, self._heard)
            self._wake(None)  # what came while nobody listened
            while not lost.is_set():
                try:
                    async with asyncio.timeout(_HEARTBEAT_S):
                        await lost.wait()
                except TimeoutError:
                    await connection.execute("select 1", timeout=_LAST_RETRY_S)
        except faults.AWAY as error:
            _log.warning("live_events_connection_lost", reason=str(error) or type(error).__name__)
        finally:
            await _close(connection)

    def _heard(self, _connection: Connection, _pid: int, _channel: str, payload: str) -> None:
        self._wake(frozenset(payload.split(",")) if payload else None)

    def _wake(self, sessions: frozenset[str] | None) -> None:
        for watch in self._watches:
            if sessions is None or watch.session_id is None or watch.session_id in sessions:
                watch.wake()


async def _close(connection: Connection) -> None:
    if connection.is_closed():
        return
    try:
        await connection.close(timeout=_CLOSE_S)
    except faults.AWAY:
        connection.terminate()
