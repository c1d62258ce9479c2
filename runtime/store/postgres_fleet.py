"""Workers, leases and checkpoints: a part of the store on Postgres. Every time is the database's."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.session.fleet_ports import Beat, CheckpointRow, Lease, WorkerRow
from runtime.session.ports import EventRow
from runtime.store import rows
from runtime.store.pool import Database

__all__ = ["Fleets"]

# A beat that a crash of the database takes back is made good by the next: its commit waits for no disk. A lease that is there
# and was not renewed is somebody else's; a call that was not stored yet has none, and is not lost.
_BEAT = """
with quick as (
  select set_config('synchronous_commit', 'off', true)
), forgotten as (
  delete from public.worker where seen_at < now() - interval '1 day'
), me as (
  insert into public.worker as w (id, host, version, region, capacity, calls, state, started_at)
  select $1, $2, $3, $4, $5, $6, $7, coalesce($8, now()) from quick
  on conflict (id) do update set host = excluded.host, version = excluded.version, region = excluded.region,
    capacity = excluded.capacity, calls = excluded.calls, state = excluded.state, seen_at = now(),
    steady_since = case when w.seen_at < now() - make_interval(secs => greatest($11::float8 / 2, 2)) then now() else w.steady_since end
), given as materialized (
  select * from unnest($9::uuid[], $10::int[]) as g (session_id, epoch)
), renewed as (
  update public.call_lease l set leased_until = now() + make_interval(secs => $11)
  from given g where l.session_id = g.session_id and l.epoch = g.epoch and l.worker_id = $1
  returning l.session_id
), silent as materialized (
  select session_id, epoch from given where session_id not in (select session_id from renewed)
)
select n.session_id
from silent n join public.call_session s on s.id = n.session_id
where s.ended_at is not null or s.epoch > n.epoch or exists (select from public.call_lease l where l.session_id = n.session_id)
"""
# Who left has no calls; should one be left all the same, nobody need wait for its lease to run out.
_LEAVE = """
with gone as (
  delete from public.worker where id = $1
)
update public.call_lease set leased_until = now() where worker_id = $1 and leased_until > now()
"""
# What has run out is taken by nobody but who has been heard for two leases without a gap: after an outage of the database all
# leases have run out, and their owners must come first. A lease of one's own that runs out while one is heard is one that an
# answer was lost of. `due` locks leases, `held` their sessions in the order of ids, as `APPEND` does.
_TAKE_OVER = """
with steady as materialized (
  select id from public.worker
  where id = $1 and seen_at >= now() - make_interval(secs => greatest($2::float8 / 2, 2)) and steady_since <= now() - make_interval(secs => 2 * $2)
), due as (
  select l.session_id from public.call_lease l
  where (l.worker_id = any ($3::text[]) and l.worker_id <> $1 or l.leased_until <= now() and exists (select from steady))
    and ($5::boolean or l.room is null or l.leased_until < now() - interval '1 day')
  order by l.leased_until limit $4 for update of l skip locked
), abandoned as (
  select s.id from public.call_session s
  where s.ended_at is null and s.started_at < now() - interval '24 hours' and exists (select from steady)
    and not exists (select from public.call_lease l where l.session_id = s.id)
    and not exists (select from public.session_event e where e.session_id = s.id and e.recorded_at > now() - interval '24 hours')
  order by s.started_at limit greatest($4 - (select count(*) from due), 0) for no key update of s skip locked
), held as (
  select id from public.call_session where ended_at is null and id in (select session_id from due) order by id for no key update
), taken as (
  update public.call_session s set epoch = s.epoch + 1, worker_id = $1
  from (select id from held union all select id from abandoned) mine where s.id = mine.id
  returning s.id, s.organization_id, s.epoch
), leased as (
  insert into public.call_lease (session_id, organization_id, worker_id, epoch, leased_until)
  select id, organization_id, $1, epoch, now() + make_interval(secs => $2) from taken
  on conflict (session_id) do update set worker_id = excluded.worker_id, epoch = excluded.epoch, leased_until = excluded.leased_until
  returning session_id, organization_id, worker_id, epoch, leased_until, room
)
select * from leased
"""
_LEASE = """
select session_id, organization_id, worker_id, epoch, leased_until, room from public.call_lease where session_id = $1
"""
_WORKERS = """
select id, host, version, state, capacity, calls, region, started_at, seen_at
from public.fleet where seen_at > now() - interval '1 day' order by started_at, id
"""
# `for share` waits for a close that is under way and then finds the call ended: no checkpoint outlives its call.
_CHECKPOINTS_SAVE = """
with given as materialized (
  select distinct on (g.session_id) g.*
  from unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::text[]) as g (session_id, organization_id, seq, epoch, ciphertext)
  order by g.session_id, g.epoch desc, g.seq desc
), owned as (
  select id, epoch from public.call_session
  where ended_at is null and id in (select session_id from given) order by id for share
)
insert into public.call_checkpoint as c (session_id, organization_id, seq, epoch, ciphertext)
select g.session_id, g.organization_id, g.seq, g.epoch, g.ciphertext from given g join owned o on o.id = g.session_id and g.epoch >= o.epoch
on conflict (session_id) do update
set seq = excluded.seq, epoch = excluded.epoch, ciphertext = excluded.ciphertext, updated_at = now()
where (excluded.epoch, excluded.seq) >= (c.epoch, c.seq)
"""
_CHECKPOINT = (
    "select session_id, organization_id, seq, epoch, ciphertext from public.call_checkpoint where session_id = $1"
)
_LATE = """
select count(*) from unnest($1::uuid[], $2::int[], $3::int[]) as g (session_id, seq, epoch)
join public.late_event using (session_id, seq, epoch)
"""


class Fleets(Database):
    """The `Fleet` of a `Store`."""

    late_seen = 0

    async def beat(self, worker: WorkerRow, calls: Sequence[tuple[str, int]], lease_s: float) -> Beat:
        found = await self.fetch(
            _BEAT,
            worker.id,
            worker.host,
            worker.version,
            worker.region,
            worker.capacity,
            worker.calls,
            worker.state,
            worker.started_at,
            [session_id for session_id, _ in calls],
            [epoch for _, epoch in calls],
            lease_s,
        )
        return Beat(frozenset(str(row["session_id"]) for row in found))

    async def look_for_late(self, events: Sequence[EventRow]) -> None:
        """Count those of these events that came late."""
        columns = (
            [event.session_id for event in events],
            [event.seq for event in events],
            [event.epoch for event in events],
        )
        ((found,),) = await self.fetch(_LATE, *columns)
        self.late_seen += found

    async def leave(self, worker_id: str) -> None:
        await self.fetch(_LEAVE, worker_id)

    async def take_over(
        self, worker_id: str, lease_s: float, *, dead: Sequence[str] = (), limit: int = 10, rooms: bool = True
    ) -> list[Lease]:
        found = await self.fetch(_TAKE_OVER, worker_id, lease_s, list(dead), limit, rooms)
        return [Lease(**rows.plain(row)) for row in found]

    async def lease(self, session_id: str) -> Lease | None:
        found = await self.fetch(_LEASE, rows.as_uuid(session_id))
        return Lease(**rows.plain(found[0])) if found else None

    async def workers(self) -> list[WorkerRow]:
        return [WorkerRow(**rows.plain(row)) for row in await self.fetch(_WORKERS)]

    async def save_checkpoints(self, rows: Sequence[CheckpointRow]) -> None:
        if rows:
            names = ("session_id", "organization_id", "seq", "epoch", "ciphertext")
            await self.fetch(_CHECKPOINTS_SAVE, *([getattr(row, name) for row in rows] for name in names))

    async def checkpoint(self, session_id: str) -> CheckpointRow | None:
        found = await self.fetch(_CHECKPOINT, rows.as_uuid(session_id))
        return CheckpointRow(**rows.plain(found[0])) if found else None
