"""Workers, leases and checkpoints: a part of the store over Supabase's API. Every time is the database's."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.session.fleet_ports import Beat, CheckpointRow, Lease, WorkerRow
from runtime.store.supabase_calls import Calls
from runtime.store.supabase_records import as_id, as_object, built, built_all

__all__ = ["Fleets"]


class Fleets(Calls):
    """The `Fleet` of a `Store`; what comes every second goes to `database` where there is one."""

    async def beat(self, worker: WorkerRow, calls: Sequence[tuple[str, int]], lease_s: float) -> Beat:
        if self.database is not None:
            return await self.database.beat(worker, calls, lease_s)
        found = await self.ask(
            "beat",
            worker=as_object(worker),
            session_ids=[session_id for session_id, _ in calls],
            epochs=[epoch for _, epoch in calls],
            lease_s=lease_s,
        )
        return Beat(frozenset(found))

    async def leave(self, worker_id: str) -> None:
        await self.ask("leave", worker_id=worker_id)

    async def take_over(
        self, worker_id: str, lease_s: float, *, dead: Sequence[str] = (), limit: int = 10, rooms: bool = True
    ) -> list[Lease]:
        found = await self.ask(
            "take_over", worker_id=worker_id, lease_s=lease_s, dead=list(dead), most=limit, rooms=rooms
        )
        return built_all(Lease, found)

    async def lease(self, session_id: str) -> Lease | None:
        found = await self.ask("lease", session_id=as_id(session_id))
        return built(Lease, found) if found else None

    async def workers(self) -> list[WorkerRow]:
        return built_all(WorkerRow, await self.ask("workers"))

    async def save_checkpoints(self, rows: Sequence[CheckpointRow]) -> None:
        if self.database is not None:
            await self.database.save_checkpoints(rows)
        elif rows:
            await self.ask("save_checkpoints", checkpoints=[as_object(row) for row in rows])

    async def checkpoint(self, session_id: str) -> CheckpointRow | None:
        found = await self.ask("checkpoint", session_id=as_id(session_id))
        return built(CheckpointRow, found) if found else None
