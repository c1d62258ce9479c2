"""One person removed from what the database holds: their calls whole, their number wherever else it was written."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.aftercall.number_forms import NumberForms
from runtime.aftercall.operating_ports import Functions
from runtime.errors import PatchbayError

__all__ = ["Erased", "Found", "StillRunning", "erase", "find", "record"]

Json = Any

_PAGE = 5_000
_SESSIONS = 20
_MENTIONS = 500


class StillRunning(PatchbayError):
    """Calls of the person's run at this moment; nothing was removed."""

    def __init__(self, sessions: Sequence[str]) -> None:
        names = ", ".join(sessions)
        calls = "One call of this person runs" if len(sessions) == 1 else f"{len(sessions)} calls of this person run"
        super().__init__(
            f"{calls} at this moment: {names}. Nothing was removed.",
            remedy="Give the command again when they have ended. A call whose process died ends once its host runs any "
            "patchbay command; where that host is gone it counts as running for two days.",
        )
        self.sessions = tuple(sessions)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a person in one organization: their sessions, and other sessions' events that hold the number."""

    sessions: tuple[str, ...]
    running: tuple[str, ...]
    events: int
    mentions: tuple[int, ...]


@dataclass(slots=True)
class Erased:
    """What was removed or, for a dry run, would be: `rows` removed by table, `masked` rows by table and column.

    `kept` names rows that builders wrote and that hold the number, by table and column; they are not touched.
    """

    sessions: tuple[str, ...] = ()
    rows: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    kept: Mapping[str, Sequence[str]] = field(default_factory=dict)


async def find(database: Functions, organization_id: str, forms: NumberForms, *, known: Iterable[str] = ()) -> Found:
    """Look through the organization's sessions and events; `known` are sessions that are the person's for other reasons.

    Raises `PatchbayError` where the organization answers the number itself: whoever calls it is somebody else.
    """
    given = {"organization_id": organization_id, "rough": forms.rough, "pattern": forms.pattern}
    answer = await database.rpc("patchbay_erase_sessions", {**given, "number": forms.number})
    if answer["own"]:
        raise PatchbayError(
            "This number is one that the organization itself answers: every call to it would go.",
            remedy="Name the caller's number. Or take it away first: patchbay number remove NUMBER",
        )
    theirs = {*answer["sessions"], *known}
    mentions: list[tuple[int, str]] = []
    async for page in _pages(database, given):
        theirs.update(page["sessions"])
        mentions.extend((number, session) for number, session in page["mentions"])
    asked = {"organization_id": organization_id, "sessions": sorted(theirs)}
    state = await database.rpc("patchbay_erase_state", asked)
    return Found(
        tuple(sorted(state["known"])),
        tuple(sorted(state["running"])),
        state["events"],
        tuple(number for number, session in mentions if session not in theirs),
    )


async def erase(
    database: Functions, organization_id: str, forms: NumberForms, found: Found, *, dry_run: bool = False
) -> Erased:
    """Remove what was found, in short transactions. Doing it again, after any interruption, does the rest.

    Raises `StillRunning`, before anything is removed, where a call of the person's runs.
    """
    if found.running and not dry_run:
        raise StillRunning(found.running)
    given = {"organization_id": organization_id, "rough": forms.rough, "pattern": forms.pattern}
    done = Erased(found.sessions)
    if dry_run:
        done.rows.update({"call_session": len(found.sessions), "session_event": found.events})
        done.masked["session_event.payload"] = len(found.mentions)
    else:
        await _remove(database, given, found, done)
        answers = await database.rpc("patchbay_erase_answers", {"organization_id": organization_id})
        done.rows["idempotency_key"] += answers
    rest = await database.rpc("patchbay_erase_rows", {**given, "dry_run": dry_run, "sessions": list(found.sessions)})
    done.masked.update(rest["masked"])
    done.kept = rest["kept"]
    return done


async def record(
    database: Functions, organization_id: str, digest: str, counts: Mapping[str, Json], *, entry: int | None = None
) -> int:
    """Write to the audit log that somebody is erased, or put `counts` into the `entry` that says so; return the entry's id.

    `digest` is a keyed hash of the number.
    """
    given = {"organization_id": organization_id, "hash": digest, "counts": dict(counts), "entry": entry}
    return int(await database.rpc("patchbay_erase_record", given))


async def _remove(database: Functions, given: Mapping[str, Json], found: Found, done: Erased) -> None:
    organization_id = given["organization_id"]
    for sessions in _parts(found.sessions, _SESSIONS):
        arguments = {"organization_id": organization_id, "sessions": list(sessions)}
        done.rows.update(await _gently(database, "patchbay_erase_delete", arguments))
    for ids in _parts(found.mentions, _MENTIONS):
        changed = await _gently(database, "patchbay_erase_mentions", {**given, "ids": list(ids)})
        done.masked["session_event.payload"] += changed


async def _pages(database: Functions, given: Mapping[str, Json]) -> AsyncIterator[dict[str, Json]]:
    at: dict[str, Json] = {"at": "-infinity", "id": 0}
    while True:
        page = await _gently(database, "patchbay_erase_scan", {**given, **at, "most": _PAGE})
        yield page
        if page["scanned"] < _PAGE:
            return
        at = page["last"]


async def _gently(database: Functions, function: str, arguments: Mapping[str, Json]) -> Json:
    """Ask, and leave the database to others for as long as it took."""
    began = time.monotonic()
    answer = await database.rpc(function, arguments)
    await asyncio.sleep(min(time.monotonic() - began, 1.0))
    return answer


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
