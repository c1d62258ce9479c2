"""`patchbay session`: calls and tests, and what happened in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import typer

from cli.context import CliStore, with_store
from cli.output import plain, print_json, print_record, print_table
from cli.verb import epilog, new_app
from runtime.errors import NotFound, UsageFault
from runtime.session.ports import CallRow, EventRow

__all__ = ["app", "find_call"]

app = new_app("List calls and tests, and read what happened in them.")

# A prefix is looked for among so many of the newest calls.
_SEARCHED = 10_000
# Told once for the session, or in a column of their own.
_COMMON = {"v", "turn", "elapsed_ms", "caused_by", "agent_id", "agent_name"}
_ID = typer.Argument(metavar="ID", help="The session's id, or its beginning where that is unique.")


@app.command("list", epilog=epilog("patchbay session list --limit 5 --json"))
def list_sessions(
    limit: int = typer.Option(20, min=1, max=_SEARCHED, help="How many, newest first."),
    tests: bool = typer.Option(True, help="Whether tests (chat, voice test) are listed too."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """List calls and tests, newest first."""
    rows = with_store(lambda opened: opened.store.calls(opened.organization.id, limit=limit, tests=tests))
    if as_json:
        print_json({"sessions": rows})
        return
    print_table(
        ("id", "started", "channel", "status", "reason", "seconds", "from", "to"),
        [_line(row) for row in rows],
        empty="No sessions yet. `patchbay chat workflow.yaml` makes one.",
    )


@app.command(epilog=epilog("patchbay session show 7f3a"))
def show(session_id: str = _ID, as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Show one session: when, whom, how it ended, what was collected and what an analysis made of it."""
    row = with_store(lambda opened: find_call(opened, session_id))
    if as_json:
        print_json(row)
    else:
        variables = json.dumps(dict(row.variables), ensure_ascii=False)
        print_record({**asdict(row), "variables": variables, "analysis": None} | _analysed(row))


@app.command(epilog=epilog("patchbay session events 7f3a --json | jq '.events[].event_type'"))
def events(session_id: str = _ID, as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Print everything that happened in a session, in order."""
    row, happened = with_store(lambda opened: _events(opened, session_id))
    if as_json:
        print_json({"session": row, "events": [_event(event) for event in happened]})
        return
    print_table(
        ("seq", "s", "event", "agent", "what"),
        [_event_line(event) for event in happened],
        empty=f"Nothing is recorded of session {row.id}.",
    )


def _analysed(row: CallRow) -> dict[str, object]:
    """Return what people read of the analysis: its values by name, and a fault only where there is one."""
    if row.analysis is None:
        return {}
    told = {"summary": row.analysis.get("summary"), "outcome": row.analysis.get("outcome")}
    fields = row.analysis.get("fields")
    told |= dict(fields) if isinstance(fields, Mapping) else {}
    return {
        "analysis": row.analysis.get("error_code") or row.analysis.get("model"),
        **{f"  {name}": value if isinstance(value, str | None) else _short(value) for name, value in told.items()},
    }


async def find_call(opened: CliStore, text: str) -> CallRow:
    """Return the session whose id is `text` or, alone among the newest, begins with it.

    Raises NotFound where there is none, and UsageFault where several begin so.
    """
    if (whole := _uuid(text)) is not None:
        found = [row] if (row := await opened.store.call(whole)).organization_id == opened.organization.id else []
    else:
        rows = await opened.store.calls(opened.organization.id, limit=_SEARCHED)
        found = [row for row in rows if text and row.id.startswith(text.casefold())]
    if len(found) > 1:
        listed = ", ".join(row.id for row in found[:5])
        raise UsageFault(f"{len(found)} sessions begin with {plain(text)!r}: {listed}.", remedy="Give more of the id.")
    if not found:
        raise NotFound(f"There is no session {plain(text)!r}.", remedy="`patchbay session list` shows what there is.")
    return found[0]


async def _events(opened: CliStore, text: str) -> tuple[CallRow, list[EventRow]]:
    row = await find_call(opened, text)
    return row, await opened.store.events(row.id)


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _line(row: CallRow) -> tuple[object, ...]:
    seconds = _seconds(row.started_at, row.ended_at)
    return row.id, row.started_at, row.channel, row.status, row.end_reason, seconds, row.from_number, row.to_number


def _seconds(start: datetime, end: datetime | None) -> str | None:
    return None if end is None else f"{(end - start).total_seconds():.1f}"


def _event(event: EventRow) -> Mapping[str, Any]:
    return {name: value for name, value in asdict(event).items() if name != "secret"}


def _event_line(event: EventRow) -> tuple[object, ...]:
    payload = event.payload
    elapsed = payload.get("elapsed_ms")
    after = f"{elapsed / 1000:.3f}" if isinstance(elapsed, int | float) else None
    what = " ".join(
        f"{name}={_short(value)}" for name, value in payload.items() if name not in _COMMON and value is not None
    )
    return event.seq, after, event.event_type, payload.get("agent_name"), what


def _short(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else json.dumps(value, ensure_ascii=False, default=str)
