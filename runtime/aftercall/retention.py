"""Calls that are older than an organization keeps them, removed in small batches between which others get their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import structlog

from runtime.aftercall.operating_ports import Functions
from runtime.errors import NotFound, PatchbayError, StoreUnreachable

__all__ = ["Keeping", "RetentionRun", "keep", "keepings", "retain", "tidy"]

Json = Any

# A database that calls are writing to gets at least as long for itself as a batch took.
_LEAST_PAUSE_S = 0.02
_MOST_PAUSE_S = 5.0
_TRIES = 5
_TIDIED = 10_000
_log = structlog.get_logger("retention")


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long an organization keeps what, in days (None: for ever), and how much is older by now.

    `cutoff` and `audit_cutoff` are ISO 8601. `never_ended` counts sessions of more than two days that nobody ended; `runs`
    are the last five, rows of `retention_run`.
    """

    id: str
    name: str
    retention_days: int | None
    audit_days: int | None
    cutoff: str | None
    audit_cutoff: str | None
    sessions: int
    events: int
    never_ended: int
    tests: int
    audit: int
    runs: tuple[dict[str, Json], ...]

    @classmethod
    def of(cls, row: dict[str, Json]) -> Self:
        known = {field.name: row[field.name] for field in fields(cls)}
        return cls(**known | {"runs": tuple(row["runs"])})


@dataclass(frozen=True, slots=True)
class RetentionRun:
    """What a run removed: `others` are tests without a session and entries of the audit log; `status` as in `retention_run`."""

    id: str
    organization_id: str
    started_at: str
    finished_at: str | None
    cutoff: str | None
    sessions: int
    events: int
    others: int
    status: str

    @classmethod
    def of(cls, row: dict[str, Json]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})


async def keepings(database: Functions, organization_id: str | None = None) -> list[Keeping]:
    """Return how long the organization keeps what, or each of them; raises `NotFound` where there is none of this id."""
    rows = await database.rpc("patchbay_retention_show", {"organization_id": organization_id})
    if organization_id is not None and not rows:
        raise NotFound(
            f"There is no organization '{organization_id}'.", remedy="See: patchbay retention show --org all"
        )
    return [Keeping.of(row) for row in rows]


async def keep(
    database: Functions, organization_id: str, *, retention_days: int | None, audit_days: int | None
) -> Keeping:
    """Set for how many days calls and the audit log are kept; None keeps them for ever."""
    days = {"retention_days": retention_days, "audit_days": audit_days}
    await database.rpc("patchbay_retention_set", {"organization_id": organization_id, **days})
    return (await keepings(database, organization_id))[0]


async def retain(
    database: Functions,
    organization_id: str,
    *,
    batch: int = 500,
    abandoned: bool = False,
    progress: Callable[[RetentionRun], None] = lambda _run: None,
) -> RetentionRun | None:
    """Remove what the organization keeps no longer, or go on with a run that was stopped; None where it keeps everything.

    Each batch, of at most `batch` sessions and about 10 000 events, is one transaction. May run several times at once, and
    be stopped anywhere. `abandoned` takes sessions that never ended too. Raises `StoreUnreachable` where the database stays
    away: the run is taken up by the next.
    """
    row = await database.rpc("patchbay_retention_begin", {"organization_id": organization_id})
    if row is None:
        return None
    run = RetentionRun.of(row)
    try:
        while run.status == "running":
            began = time.monotonic()
            arguments = {"run_id": run.id, "batch": batch, "abandoned": abandoned}
            run = RetentionRun.of(await _patiently(database, "patchbay_retention_step", arguments))
            progress(run)
            await asyncio.sleep(min(max(time.monotonic() - began, _LEAST_PAUSE_S), _MOST_PAUSE_S))
    except StoreUnreachable:
        raise
    except PatchbayError as error:
        await database.rpc("patchbay_retention_fail", {"run_id": run.id, "error": error.message})
        raise
    return run


async def tidy(database: Functions) -> int:
    """Remove the answers to repeated requests that are older than a day; return how many."""
    total = gone = await database.rpc("patchbay_retention_tidy", {"most": _TIDIED})
    while gone == _TIDIED:
        gone = await _patiently(database, "patchbay_retention_tidy", {"most": _TIDIED})
        total += gone
    return int(total)


async def _patiently(database: Functions, function: str, arguments: dict[str, Json]) -> Json:
    """Ask again where the database was away for a moment: a batch that was done is only counted, and what is gone is gone."""
    for tries in range(1, _TRIES):
        try:
            return await database.rpc(function, arguments)
        except StoreUnreachable as away:
            _log.warning("retention_waits", message=away.message)
            await asyncio.sleep(0.2 * 2**tries)
    return await database.rpc(function, arguments)
