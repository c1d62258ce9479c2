"""Word of every change in the database, by LISTEN on a connection of its own that is made anew whenever it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from runtime.errors import StoreUnreachable
from runtime.store import faults, queries
from runtime.store.pool import Connection, Database
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["listening"]

OnChange = Callable[[str, str], None]

_PUBLISHED, _CHANGED, _PROBE = "patchbay_published", "patchbay_changed", "patchbay_probe"

_PROBE_S = 2.0
# A connection that a firewall forgot looks alive until something is sent on it.
_HEARTBEAT_S = 30.0
_HEARTBEAT_PATIENCE_S = 5.0
_HEARTBEAT = "select 1"
_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0
_CLOSE_S = 2.0


@asynccontextmanager
async def listening(database: Database, on_change: OnChange) -> AsyncIterator[None]:
    """Call `on_change` as `Store.listen` says, until the block ends.

    Raises `StoreUnreachable`, and `NotNotified` where a transaction pooler swallows what it should pass on.
    """
    ear = _Ear(database, on_change)
    await ear.open()
    keeper = spawn(ear.keep(), name="store-listen")
    try:
        yield
    finally:
        await cancel_and_wait(keeper)
        await ear.close()


class _Ear:
    """One connection that listens."""

    def __init__(self, database: Database, on_change: OnChange) -> None:
        self._database = database
        self._on_change = on_change
        self._connection: Connection = None
        self._lost = asyncio.Event()
        self._probed: asyncio.Future[None] | None = None
        self._token = ""

    async def open(self) -> None:
        """Connect, listen, and prove that what another connection sends arrives here."""
        self._connection = await self._database.dedicated()
        try:
            self._lost.clear()
            self._connection.add_termination_listener(self._terminated)
            for channel in (_PUBLISHED, _CHANGED, _PROBE):
                await self._connection.add_listener(channel, self._heard)
            await self._prove()
        except faults.AWAY as error:
            await self.close()
            raise faults.unreachable(self._database.place, error) from error
        except BaseException:  # a cancelled start leaves no connection behind either
            await self.close()
            raise

    async def keep(self) -> None:
        """Watch the connection, and make it anew whenever it is lost; never ends by itself."""
        while True:
            reason = await self._loss()
            self._on_change("lost", reason)
            await self.close()
            await self._reopen()
            self._on_change("everything", "")

    async def close(self) -> None:
        """Let go of the connection; one that does not answer is dropped. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is None or connection.is_closed():
            return
        connection.remove_termination_listener(self._terminated)
        try:
            await connection.close(timeout=_CLOSE_S)
        except faults.AWAY:
            connection.terminate()

    async def _prove(self) -> None:
        self._token, self._probed = uuid4().hex, asyncio.get_running_loop().create_future()
        await self._database.fetch(queries.NOTIFY, _PROBE, self._token)
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._probed
        except TimeoutError:
            raise faults.not_notified(self._database.place) from None

    async def _loss(self) -> str:
        """Wait until the connection is lost, and say how."""
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    await self._lost.wait()
            except TimeoutError:
                try:
                    await self._connection.execute(_HEARTBEAT, timeout=_HEARTBEAT_PATIENCE_S)
                except faults.AWAY as error:
                    return f"the connection that listens does not answer: {str(error) or type(error).__name__}"
        return "the connection that listens was closed"

    async def _reopen(self) -> None:
        delay = _FIRST_RETRY_S
        while True:
            await asyncio.sleep(delay)
            try:
                return await self.open()
            except StoreUnreachable:
                delay = min(2 * delay, _LAST_RETRY_S)

    def _terminated(self, _connection: Connection) -> None:
        self._lost.set()

    def _heard(self, _connection: Connection, _pid: int, channel: str, payload: str) -> None:
        match channel:
            case "patchbay_published":
                self._on_change("workflow_version", payload)
            case "patchbay_changed":
                table, _, organization_id = payload.partition(" ")
                # A version that was taken back is a change of its workflow.
                self._on_change("workflow" if table == "workflow_version" else table, organization_id)
            case _ if payload == self._token and self._probed is not None and not self._probed.done():
                self._probed.set_result(None)
            case _:  # the probe of another process
                pass
