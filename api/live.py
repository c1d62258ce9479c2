"""Events as they come: what is stored beyond where a reader stands, then what follows, each once and in its session's order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from api.access import Caller
from api.models.sessions import EVENT_COLUMNS
from api.problems import Problem, found
from runtime.store.event_notices import Watch
from runtime.store.row_access import Row
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["Feed", "OrganizationFeed", "Place", "SessionFeed", "stream"]

Json = Any
Wanted = Callable[[Row], bool]

_POLL_S = 2.0
# So that many small batches are read at once.
_GATHER_S = 0.02
_PING_S = 20.0
_SEND_S = 10.0
_HOLE_S = 5.0
_BATCH = 200
_BATCH_OF_EACH = 20  # what live_events returns of one session
_FORGET_AFTER_S = 180.0


@dataclass(slots=True)
class Place:
    """Where a reader stands in one session: it has had every event up to `seq`."""

    seq: int = 0
    ended: bool = False
    hole_since: float | None = None

    def take(self, rows: list[Row], now: float) -> list[Row]:
        """Return those that follow without a hole, and stand behind them; a hole is waited for, 5 s and no longer."""
        taken = []
        for row in rows:
            if row["seq"] <= self.seq:
                continue
            if row["seq"] != self.seq + 1 and not self._is_given_up(now):
                break
            self.hole_since = None
            self.seq = row["seq"]
            self.ended = row["event_type"] == "call_ended"
            taken.append(row)
        return taken

    def _is_given_up(self, now: float) -> bool:
        # What a process left in its log may be stored after what another wrote next; what retention took never comes.
        if self.hole_since is None:
            self.hole_since = now
        return now - self.hole_since >= _HOLE_S


class Feed(Protocol):
    """Where events come from, under the caller's role each time."""

    @property
    def is_over(self) -> bool:
        """Tell whether nothing will come any more."""
        ...

    async def read(self) -> tuple[list[Row], bool]:
        """Return what follows now, and whether there is more already."""
        ...

    async def rest(self) -> None:
        """Look, while nothing comes, whether anything may still come; raises the problems 403 and 404."""
        ...


class SessionFeed:
    """The events of one session beyond `after`."""

    def __init__(self, caller: Caller, session_id: str, after: int) -> None:
        self._caller = caller
        self._session_id = session_id
        self._place = Place(after)

    @property
    def is_over(self) -> bool:
        return self._place.ended

    async def read(self) -> tuple[list[Row], bool]:
        rows = await self._caller.rows.select(
            "session_event",
            columns=EVENT_COLUMNS,
            where=[("session_id", "eq", self._session_id), ("seq", "gt", self._place.seq)],
            order=[("seq", "asc")],
            limit=_BATCH,
        )
        taken = self._place.take(rows, time.monotonic())
        return taken, len(taken) == _BATCH

    async def rest(self) -> None:
        rows = self._caller.rows
        mine = [("id", "eq", self._session_id)]
        row = found(
            await rows.select("call_session", columns=["ended_at"], where=mine, limit=1),  # type: ignore[arg-type]
            "session",
            self._session_id,
        )
        if row["ended_at"] is None:
            return
        last = await rows.select(
            "session_event",
            columns=["seq", "event_type"],
            where=[("session_id", "eq", self._session_id)],
            order=[("seq", "desc")],
            limit=1,
        )
        if last and last[0]["seq"] > self._place.seq:
            return
        # Its last events may be on their way for a while after its row was closed.
        ended = bool(last) and last[0]["event_type"] == "call_ended"
        self._place.ended = ended or _is_older(row["ended_at"], timedelta(minutes=1))


class OrganizationFeed:
    """The events of an organization's running sessions; `filters` are `live_events`' own."""

    def __init__(self, caller: Caller, organization_id: str, filters: Mapping[str, Json]) -> None:
        self._caller = caller
        self._organization_id = organization_id
        self._filters = filters
        self._places: dict[str, Place] = {}
        self._ended: dict[str, float] = {}
        self._is_begun = False

    @property
    def is_over(self) -> bool:
        return False

    async def read(self) -> tuple[list[Row], bool]:
        if not self._is_begun:
            self._is_begun = True
            await self._leave_out_ended()
        rows = await self._caller.rows.rpc(
            "live_events",
            {
                "organization_id": self._organization_id,
                "after": {session_id: place.seq for session_id, place in self._places.items()},
                **self._filters,
            },
        )
        return self._taken(rows)

    async def rest(self) -> None:
        mine = [("id", "eq", self._organization_id)]
        if not await self._caller.rows.select("organization", columns=["id"], where=mine, limit=1):  # type: ignore[arg-type]
            raise Problem(403, "forbidden", "You are no member of the organization any more.")

    async def _leave_out_ended(self) -> None:
        """Pass over the sessions that were over before, of which `live_events` would find the youngest."""
        since = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
        rows = await self._caller.rows.select(
            "call_session",
            columns=["id", "ended_at"],
            where=[("organization_id", "eq", self._organization_id), ("started_at", "gt", since)],
        )
        for row in rows:
            if row["ended_at"] is not None:
                self._places[row["id"]] = Place(2**31 - 1, ended=True)
                self._ended[row["id"]] = time.monotonic()

    def _taken(self, rows: list[Row]) -> tuple[list[Row], bool]:
        now = time.monotonic()
        of_each: dict[str, list[Row]] = {}
        for row in rows:
            of_each.setdefault(row["session_id"], []).append(row)
        taken: list[Row] = []
        for session_id, own in of_each.items():
            place = self._places.setdefault(session_id, Place())
            taken += place.take(sorted(own, key=lambda row: int(row["seq"])), now)
            if place.ended:
                self._ended[session_id] = now
        self._forget(now)
        return taken, any(len(own) == _BATCH_OF_EACH for own in of_each.values()) and bool(taken)

    def _forget(self, now: float) -> None:
        """Keep what ended no longer than `live_events` could find it."""
        for session_id in [each for each, since in self._ended.items() if now - since > _FORGET_AFTER_S]:
            del self._ended[session_id]
            del self._places[session_id]


async def stream(socket: WebSocket, feed: Feed, watch: Watch, wanted: Wanted) -> None:
    """Send a feed's events until it is over or the reader has gone.

    Raises the problem 408 for a reader that takes nothing for 10 s, and those of the feed.
    """
    sender = _Sender(socket)
    gone = spawn(_gone(socket, watch), name="live socket")
    try:
        while not gone.done():
            watch.rest()
            rows, has_more = await feed.read()
            for row in filter(wanted, rows):
                await sender.send({"type": "event", "event": row})
            if not rows:
                await feed.rest()
            if feed.is_over:
                return await sender.send({"type": "ended"})
            if not has_more and not gone.done():
                await watch.wait(_POLL_S)
                await asyncio.sleep(_GATHER_S)
                await sender.keep_alive()
    finally:
        await cancel_and_wait(gone)


async def _gone(socket: WebSocket, watch: Watch) -> None:
    """Return once the reader has gone; what it says is of no interest."""
    try:
        while True:
            if (await socket.receive())["type"] == "websocket.disconnect":
                return
    finally:
        watch.wake()


class _Sender:
    """Sends, and gives up a reader that does not take what is sent."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._sent_at = time.monotonic()

    async def send(self, message: Mapping[str, Json]) -> None:
        try:
            async with asyncio.timeout(_SEND_S):
                await self._socket.send_text(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
        except TimeoutError:
            raise Problem(408, "timed_out", f"Nothing was taken for {_SEND_S:g} seconds.") from None
        except RuntimeError as error:  # Starlette's word for a socket that was closed meanwhile
            raise WebSocketDisconnect(1006) from error
        self._sent_at = time.monotonic()

    async def keep_alive(self) -> None:
        if time.monotonic() - self._sent_at >= _PING_S:
            await self.send({"type": "ping"})


def _is_older(moment: str, age: timedelta) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(moment) > age
