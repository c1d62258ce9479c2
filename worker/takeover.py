"""Calls of workers that have died: taken over as the store gives them, and gone on with here, or ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from runtime.errors import NotFound, StoreUnreachable
from runtime.session.dead_logs import dead_logs
from runtime.session.fleet_ports import Lease, WorkerRow
from runtime.session.lost_calls import ending_of
from runtime.session.ports import CallRow, Store
from runtime.session.recovery import Recovered
from runtime.tasks import cancel_and_wait, spawn
from worker.fleet import LEASE_S
from worker.legs import Leg
from worker.reception import Taken
from worker.rooms.leg import Nobody, RoomLeg

__all__ = ["Desk", "Parts", "Rooms", "TakeOver", "end_lost", "others_drained"]

_LOOK_S: Final = 1.0
_AT_ONCE: Final = 2  # in one go, so that processes that are told together share a dead one's calls
_FULL_LOOK_S: Final = 5.0
_GIVEN_UP_S: Final = 20.0  # time for the supervisor to have started another process
_DRAINED_S: Final = 1
_ENDED_AT_ONCE: Final = 20
_log = structlog.get_logger("takeover")


class Desk(Protocol):
    """Where the calls go on."""

    @property
    def places(self) -> int: ...

    @property
    def draining(self) -> bool: ...

    def counted(self) -> AbstractContextManager[None]: ...

    async def resume(self, leg: Leg, taken: Taken) -> bool: ...


class Rooms(Protocol):
    """How a room is joined whose agent has died."""

    def rejoined(self, row: CallRow, epoch: int) -> AbstractAsyncContextManager[RoomLeg]: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a take-over needs: `recovered` reads a call, `rooms` is None for a worker that joins none.

    `drain(told)` sends what dead processes of this host left, before their calls have a new owner; where a death was
    told it waits for others who are sending it.
    """

    worker_id: str
    store: Store
    desk: Desk
    rooms: Rooms | None
    drain: Callable[[bool], Awaitable[None]]
    recovered: Callable[[str], Coroutine[Any, Any, Recovered | None]]


class TakeOver:
    """Looks for calls without a worker every second, and at once when told of one that has died. On one event loop."""

    def __init__(self, parts: Parts, *, look_s: float = _LOOK_S) -> None:
        self._parts = parts
        self._look_s = look_s
        self._dead: dict[str, float] = {}  # of whom we were told, and when
        self._told = asyncio.Event()
        self._going_on: set[asyncio.Task[None]] = set()
        self._looked_at = -_FULL_LOOK_S
        self._given_up: set[str] = set()

    def told(self, worker_id: str) -> None:
        """Take over the calls of a worker that is known to be dead, now."""
        self._dead[worker_id] = time.monotonic()
        self._told.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self._look()
            except StoreUnreachable as error:
                _log.debug("not_looked", why=type(error).__name__)
            except Exception:  # noqa: BLE001 - an edge: who looks after others' calls must not stop for one of them
                _log.exception("take_over_failed")
            self._told.clear()
            await self._rest()

    async def aclose(self) -> None:
        """Give up the calls that are being gone on with; those that run by now were ended before."""
        await cancel_and_wait(*self._going_on)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._look_s):
                await self._told.wait()
        except TimeoutError:
            return

    # ------------------------------------------------------------ looking

    async def _look(self) -> None:
        parts, dead = self._parts, dict(self._dead)
        if not parts.desk.places:
            await self._look_for_others()
            return
        await parts.drain(bool(dead))
        while (limit := min(_AT_ONCE, parts.desk.places)) > 0:
            taken = await self._take(list(dead), limit)
            for lease in taken:
                self._begin(lease, min(dead.values(), default=time.monotonic() - LEASE_S))
            if len(taken) < limit:
                for worker_id in dead:
                    self._dead.pop(worker_id, None)
                return
            await asyncio.sleep(0)

    async def _look_for_others(self) -> None:
        """End what nobody has room for: a caller who is told that the call is over is better off than one in silence."""
        parts, now = self._parts, time.monotonic()
        if parts.desk.draining or now - self._looked_at < _FULL_LOOK_S:
            return
        self._looked_at = now
        workers = await parts.store.workers()
        if any(row.state in {"starting", "ready"} and row.calls < row.capacity for row in workers):
            return
        lost = [row.id for row in workers if _long_lost(row) and row.id not in self._given_up]
        self._given_up.update(lost)
        if lost:
            for lease in await self._take(lost, _ENDED_AT_ONCE):
                _log.warning("no_room_for_call", session_id=lease.session_id)
                await end_lost(parts.store, lease)

    async def _take(self, dead: Sequence[str], limit: int) -> list[Lease]:
        """Take calls; those in rooms are left to workers that can join one."""
        parts = self._parts
        joins = parts.rooms is not None
        return await parts.store.take_over(parts.worker_id, LEASE_S, dead=dead, limit=limit, rooms=joins)

    def _begin(self, lease: Lease, lost_at: float) -> None:
        place = self._parts.desk.counted()
        place.__enter__()  # now and not in the task: whoever counts the places next must see it

        def over(done: asyncio.Task[None]) -> None:
            self._going_on.discard(done)
            place.__exit__(None, None, None)

        task = spawn(self._go_on(lease, lost_at), name=f"take over {lease.session_id}")
        self._going_on.add(task)
        task.add_done_callback(over)

    # ------------------------------------------------------------ one call

    async def _go_on(self, lease: Lease, lost_at: float) -> None:
        """Go on with a call, or end it where that cannot be; where the store goes away meanwhile, its lease runs out again."""
        _log.warning("call_taken_over", session_id=lease.session_id, epoch=lease.epoch, room=lease.room is not None)
        try:
            if lease.room is None or self._parts.rooms is None or not await self._resumed(lease, lost_at):
                await end_lost(self._parts.store, lease)
        except StoreUnreachable as error:
            _log.warning("take_over_unfinished", session_id=lease.session_id, why=type(error).__name__)

    async def _resumed(self, lease: Lease, lost_at: float) -> bool:
        """Run the call to its end; False where it has to be ended from outside."""
        parts = self._parts
        assert parts.rooms is not None
        row = await parts.store.call(lease.session_id)
        reading = spawn(parts.recovered(lease.session_id), name="recovery", on_error=_nothing)
        try:
            async with parts.rooms.rejoined(row, lease.epoch) as leg:
                recovered = await reading
                if recovered is None:
                    return False
                lost_ms = _lost_ms(recovered, lost_at)
                await parts.desk.resume(leg, Taken(recovered, lease.epoch, lost_ms, leg.alone))
                return True
        except StoreUnreachable:
            raise
        except Nobody as error:
            _log.warning("room_not_rejoined", session_id=lease.session_id, why=error.message)
        except Exception as error:  # noqa: BLE001 - an edge: a call that cannot go on is to have an end
            _log.exception("call_not_resumed", session_id=lease.session_id, why=type(error).__name__)
        finally:
            await cancel_and_wait(reading)
        return False


def _long_lost(row: WorkerRow) -> bool:
    if row.state != "lost" or row.seen_at is None or not row.calls:
        return False
    return (datetime.now(UTC) - row.seen_at).total_seconds() > _GIVEN_UP_S


def _lost_ms(recovered: Recovered, lost_at: float) -> int:
    """Return for how long nobody ran the call, as far as that is known: not longer than since its last event."""
    silent_s = (datetime.now(UTC) - recovered.last_at).total_seconds()
    return round(max(0.0, min(time.monotonic() - lost_at, silent_s)) * 1000)


async def others_drained(folder: Path) -> None:
    """Wait, for a second at most, until no other process is sending what a dead one left: what it sends must come first."""
    for _ in range(_DRAINED_S * 20):
        if not await asyncio.to_thread(_left_behind, folder):
            return
        await asyncio.sleep(0.05)


def _left_behind(folder: Path) -> bool:
    return any(not _lives(log.name) for log in dead_logs(folder))


def _lives(log_name: str) -> bool:
    try:
        os.kill(int(log_name.split("-")[1]), 0)
    except ProcessLookupError:
        return False
    except (ValueError, IndexError, OSError):  # not one of ours, or another user's
        return True
    return True


async def end_lost(store: Store, lease: Lease) -> None:
    """End a call that nobody goes on with, as the owner of `lease`, at its last sign of life. Raises `StoreUnreachable`."""
    try:
        row = await store.call(lease.session_id)
    except NotFound:
        return
    if row.ended_at is not None:
        return
    ending = ending_of(row, await store.events(lease.session_id))
    await store.append([replace(event, epoch=lease.epoch) for event in ending.events])
    await store.close_call(replace(ending.row, epoch=lease.epoch))
    _log.warning("call_ended_as_lost", session_id=lease.session_id)


def _nothing(_error: BaseException) -> None:
    """Who waits for it hears of it."""
