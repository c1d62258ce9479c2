"""Who owns which call: workers with a heartbeat, leases with an epoch, and the checkpoint a call is resumed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

__all__ = ["Beat", "CheckpointRow", "Fleet", "Lease", "WorkerRow", "WorkerState"]

WorkerState = Literal["starting", "ready", "busy", "draining", "lost"]
"""`lost` is never said by a worker itself: the store says it of one that was not heard for 10 s."""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker process as it registers itself; `id` is new for each start of a process (`call_session.worker_id`).

    `calls` run on it now, `capacity` is how many it takes at once. `region` is the operator's word, or None.
    """

    id: str
    host: str
    version: str
    state: WorkerState
    capacity: int
    calls: int
    region: str | None = None
    started_at: datetime | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run a call until `leased_until` (the store's clock). Each owner's `epoch` is one more than the last's.

    `room` is the LiveKit room that the call goes on in; None for a call on a worker's own SIP line, which ends with it.
    """

    session_id: str
    organization_id: str
    worker_id: str
    epoch: int
    leased_until: datetime
    room: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat brought: `lost` are calls of this worker's that somebody else owns, or that have ended, by now."""

    lost: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """The newest checkpoint of a running call: a Fernet token of its content, as of the event `seq`."""

    session_id: str
    organization_id: str
    seq: int
    epoch: int
    ciphertext: str


class Fleet(Protocol):
    """The part of the store by which calls survive their worker. Raises `StoreUnreachable` as every store does.

    A call's first lease is made by `open_call`, with epoch 1, where its row names a `worker_id`; it ends with `close_call`.
    Events carry the epoch of who wrote them (`EventRow.epoch`): the store refuses those of an earlier owner, which are kept in
    `late_event` for people to look at, and so is a close by an earlier owner. `late_seen` counts the events that `append`
    found to be such since the store was opened; one that is sent again counts again.
    """

    @property
    def late_seen(self) -> int: ...

    async def beat(self, worker: WorkerRow, calls: Sequence[tuple[str, int]], lease_s: float) -> Beat:
        """Register the worker or say that it lives, and renew its calls' leases (session id and epoch), in one statement."""
        ...

    async def leave(self, worker_id: str) -> None:
        """Forget a worker that ended in order."""
        ...

    async def take_over(
        self, worker_id: str, lease_s: float, *, dead: Sequence[str] = (), limit: int = 10, rooms: bool = True
    ) -> list[Lease]:
        """Take calls whose lease has run out, or whose worker is one of `dead` (known to be so), for `worker_id`.

        Each with its next epoch; of several who ask at once, one gets a call. Calls without a room are taken too: to be ended.
        A worker that cannot join `rooms` leaves calls in rooms to others, until their leases have run out for a day: to be
        ended as well.
        """
        ...

    async def lease(self, session_id: str) -> Lease | None:
        """Return who owns a call that runs."""
        ...

    async def workers(self) -> list[WorkerRow]:
        """Return the workers, lost ones for a day."""
        ...

    async def save_checkpoints(self, rows: Sequence[CheckpointRow]) -> None:
        """Keep each call's newest checkpoint (by epoch, then seq); gone with the call's end."""
        ...

    async def checkpoint(self, session_id: str) -> CheckpointRow | None: ...
