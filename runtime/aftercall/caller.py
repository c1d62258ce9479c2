"""One person removed from everything this host reaches: the database, the event logs, the other files of PATCHBAY_HOME."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.aftercall.erased_files import ErasedFiles, cover_files, erase_from_logs, logged_sessions
from runtime.aftercall.erasure import Erased, Found, StillRunning, erase, find, record
from runtime.aftercall.number_forms import NumberForms
from runtime.aftercall.operating_ports import Functions

__all__ = ["CallerErasure", "digest_of", "erase_caller"]

Json = Any

# What a living process has finished it stores within a moment; until then its records are not ours to touch.
_PATIENCE = 20
_STEP_S = 0.25
# Calls may come in while we work.
_ROUNDS = 3


@dataclass(slots=True)
class CallerErasure:
    """What was removed of one person in one organization, or would be."""

    organization_id: str
    erased: Erased = field(default_factory=Erased)
    files: list[ErasedFiles] = field(default_factory=list)
    running: tuple[str, ...] = ()
    """Calls of the person's that run: with a dry run those that would refuse it, else those that began meanwhile."""

    @property
    def sessions(self) -> int:
        return len(self.erased.sessions)

    def counts(self) -> dict[str, Json]:
        """Return what was done in numbers: rows by table, masked rows by table and column, and files."""
        return {
            "sessions": self.sessions,
            "rows": {name: count for name, count in sorted(self.erased.rows.items()) if count},
            "masked": {name: count for name, count in sorted(self.erased.masked.items()) if count},
            "files": {
                "lines": sum(each.lines for each in self.files),
                "covered": sum(each.covered for each in self.files),
                "removed": sum(len(each.removed) for each in self.files),
            },
        }

    def add(self, more: Erased) -> None:
        self.erased.sessions += more.sessions
        self.erased.rows.update(more.rows)
        self.erased.masked.update(more.masked)
        self.erased.kept = more.kept


def digest_of(number: str, key: str) -> str:
    """Return a hash of the number that only the holder of `key` can compare with another's."""
    derived = hashlib.sha256(b"patchbay erase " + key.encode()).digest()
    return hmac.new(derived, number.encode(), hashlib.sha256).hexdigest()


async def erase_caller(
    database: Functions, home: Path, organization_id: str, number: str, *, digest: str, dry_run: bool = False
) -> CallerErasure:
    """Remove the person who calls from `number` (E.164) out of one organization, or count what would be removed.

    Sessions from or to the number go whole; in other records `•••` takes its place. Safe to repeat after any interruption.
    Raises `StillRunning`, before anything is removed, where a call of theirs runs, and `PatchbayError` where the number is
    the organization's own.
    """
    forms = NumberForms(number)
    done = CallerErasure(organization_id)
    found = await _found(database, home, organization_id, forms)
    if dry_run:
        await _pass(database, home, forms, found, done, dry_run=True)
        done.running = found.running
        return done
    if found.running:
        raise StillRunning(found.running)
    entry = await record(database, organization_id, digest, {"state": "begun", "sessions": len(found.sessions)})
    for _ in range(_ROUNDS):
        await _pass(database, home, forms, found, done, dry_run=False)
        found = await find(database, organization_id, forms)
        done.running = found.running
        if found.running or not (found.sessions or found.mentions):
            break
    counts: Mapping[str, Json] = {"state": "done", **done.counts()}
    await record(database, organization_id, digest, counts, entry=entry)
    return done


async def _found(database: Functions, home: Path, organization_id: str, forms: NumberForms) -> Found:
    """Look into the logs and the database; what a living process has not stored yet counts as running."""
    for step in range(_PATIENCE):
        logged = await asyncio.to_thread(logged_sessions, home, organization_id, forms)
        found = await find(database, organization_id, forms, known=logged.all)
        unstored = logged.living.difference(found.sessions)
        if not unstored or step == _PATIENCE - 1:
            break
        await asyncio.sleep(_STEP_S)
    sessions = {*found.sessions, *logged.all}
    return Found(tuple(sorted(sessions)), tuple(sorted({*found.running, *unstored})), found.events, found.mentions)


async def _pass(
    database: Functions, home: Path, forms: NumberForms, found: Found, done: CallerErasure, *, dry_run: bool
) -> None:
    # The logs first: a process that dies in between would have its own drained, and the sessions were back.
    logs = await asyncio.to_thread(erase_from_logs, home, done.organization_id, found.sessions, forms, dry_run=dry_run)
    done.add(await erase(database, done.organization_id, forms, found, dry_run=dry_run))
    files = await asyncio.to_thread(cover_files, home, found.sessions, forms, dry_run=dry_run)
    done.files += [logs, files]
