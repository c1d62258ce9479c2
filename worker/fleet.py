"""A worker's place in the fleet: the heartbeat by which it keeps its calls, and by which it hears that it has lost one."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from runtime.errors import StoreUnreachable
from runtime.session.fleet_ports import Fleet, WorkerRow
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["LEASE_S", "Calls", "Heartbeat", "Pulse", "beating", "new_worker_id"]

LEASE_S: Final = 4.0
"""How long a call is a worker's without another beat."""
_LEAVE_S: Final = 2.0
_log = structlog.get_logger("fleet")


@dataclass(frozen=True, slots=True)
class Pulse:
    """How often a worker says that it lives, in seconds.

    A beat that has not been answered within `within_s` is given up and tried again after `again_s`: when the database comes
    back, owners of calls are to be heard well before anybody may take a call over.
    """

    every_s: float = 1.0
    within_s: float = 1.5
    again_s: float = 0.3
    lease_s: float = LEASE_S


class Calls(Protocol):
    """The calls of this process."""

    def owned(self) -> Sequence[tuple[str, int]]:
        """Return the session id and the epoch of each."""
        ...

    def drop(self, session_id: str) -> None:
        """Let go of a call that is somebody else's, in silence."""
        ...


def new_worker_id() -> str:
    """Return a name for this start of this process, which ends with its pid."""
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}-{os.getpid()}"


class Heartbeat:
    """Says every second that the worker lives and keeps its calls. Used on one event loop.

    While the database is away the calls go on: nobody can take one over without it. When it is back, it gives calls only to
    workers that it has heard without a break for two leases, and their owners have been heard long before.
    """

    def __init__(self, fleet: Fleet, worker: Callable[[], WorkerRow], calls: Calls, *, pulse: Pulse = Pulse()) -> None:
        self._fleet = fleet
        self._worker = worker
        self._calls = calls
        self._pulse = pulse
        self._one_at_a_time = asyncio.Lock()
        self._heard_at = -math.inf  # when the last beat that was answered was sent
        self._missing = False

    @property
    def sure(self) -> bool:
        """Whether nobody can have taken a call of this worker's: its leases have not run out yet."""
        return _now() - self._heard_at < self._pulse.lease_s

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            heard = await self.beat()
            await asyncio.sleep(self._pulse.every_s if heard else self._pulse.again_s)

    async def confirm(self, *, doubted: bool = False) -> None:
        """Return when each call that is somebody else's by now was dropped, or when the database cannot be asked.

        Asks it only where the leases may have run out (a process that was stopped for a while), or where `doubted`.
        """
        if doubted or not self.sure:
            await self.beat()

    async def beat(self) -> bool:
        """Say once that the worker lives; drop what it has lost. Returns whether the database was reached."""
        async with self._one_at_a_time:
            sent = _now()
            try:
                async with asyncio.timeout(self._pulse.within_s):
                    heard = await self._fleet.beat(self._worker(), self._calls.owned(), self._pulse.lease_s)
            except (StoreUnreachable, TimeoutError) as error:
                self._missed(type(error).__name__)
                return False
            except Exception:  # noqa: BLE001 - an edge: a worker whose heart stops for a fault of ours loses all its calls
                _log.exception("heartbeat_failed")
                self._missed("fault")
                return False
            self._heard_at, self._missing = sent, False
        for session_id in heard.lost:
            self._calls.drop(session_id)
        return True

    def _missed(self, why: str) -> None:
        if not self._missing:
            _log.warning("heartbeat_missed", why=why)
        self._missing = True


@asynccontextmanager
async def beating(heartbeat: Heartbeat, fleet: Fleet, worker_id: str) -> AsyncIterator[None]:
    """Keep the worker registered until the block ends, then forget it: its calls have ended by then."""
    await heartbeat.beat()
    running = spawn(heartbeat.run(), name="heartbeat")
    try:
        yield
    finally:
        await cancel_and_wait(running)
        try:
            async with asyncio.timeout(_LEAVE_S):
                await fleet.leave(worker_id)
        except (StoreUnreachable, TimeoutError) as error:
            _log.info("left_without_word", why=type(error).__name__)


def _now() -> float:
    return asyncio.get_running_loop().time()
