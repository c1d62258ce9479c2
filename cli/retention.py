"""`patchbay retention`: how long calls are kept, and the removal of older ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict

import typer

from cli.operating import ORG, Operating, with_database
from cli.output import hint, plain, print_json, print_record, print_table, say
from cli.verb import epilog, new_app
from runtime.aftercall.retention import Keeping, RetentionRun, keep, keepings, retain, tidy
from runtime.errors import StoreUnreachable, UsageFault

__all__ = ["app"]

app = new_app("Say how long calls are kept, and remove older ones.")

_JSON = typer.Option(False, "--json", help="Print one JSON object.")
_FOR_EVER = "forever"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command(epilog=epilog("patchbay retention show --org all --json"))
def show(org: str | None = ORG, as_json: bool = _JSON) -> None:
    """Show for how many days calls are kept, what is older, and the last runs."""
    rows = with_database(org, _keepings)
    if as_json:
        print_json({"organizations": rows})
        return
    for row in rows:
        print_record(
            {
                "organization": row.name,
                "calls are kept": _days(row.retention_days),
                "the audit log is kept": _days(row.audit_days),
                "older": f"{row.sessions} sessions, {row.events} events, {row.tests} tests, {row.audit} audit entries",
                "never ended": row.never_ended,
            }
        )
        columns = ("started_at", "finished_at", "status", "sessions", "events", "last_error")
        if row.runs:
            print_table(columns, [[run[column] for column in columns] for run in row.runs], empty="")


@app.command("set", epilog=epilog("patchbay retention set 90", "patchbay retention set forever"))
def set_days(
    days: str | None = typer.Argument(
        None, metavar="[DAYS]", help="Days that ended calls are kept, or forever.", show_default=False
    ),
    audit: str | None = typer.Option(
        None, "--audit", metavar="DAYS", help="Days that the audit log is kept, or forever.", show_default=False
    ),
    org: str | None = ORG,
    as_json: bool = _JSON,
) -> None:
    """Set for how many days calls are kept; nothing is removed before the next run."""
    if days is None and audit is None:
        raise UsageFault("Say how many days.", remedy="For example: patchbay retention set 90")
    given = {name: _given(text) for name, text in (("retention_days", days), ("audit_days", audit)) if text is not None}

    async def work(operating: Operating) -> Keeping:
        was = (await keepings(operating.database, operating.organization.id))[0]
        known = {"retention_days": was.retention_days, "audit_days": was.audit_days} | given
        return await keep(operating.database, was.id, **known)

    row = with_database(org, work)
    if as_json:
        print_json(row)
        return
    say(f"{row.name}: calls are kept {_days(row.retention_days)}, the audit log {_days(row.audit_days)}", style="green")
    if row.sessions:
        hint(f"{row.sessions} sessions are older: patchbay retention run removes them.")


@app.command("run", epilog=epilog("patchbay retention run --org all", "patchbay retention run --org all --every 24h"))
def run_retention(
    org: str | None = ORG,
    dry_run: bool = typer.Option(False, "--dry-run", help="Count, and remove nothing."),
    batch: int = typer.Option(500, "--batch", min=1, max=10_000, help="Sessions removed at once."),
    abandoned: bool = typer.Option(
        False, "--abandoned", help="Sessions too that never ended and of which nothing was heard for two days."
    ),
    every: str | None = typer.Option(
        None, "--every", metavar="24h", help="Keep running, and do it so often (s, m, h, d).", show_default=False
    ),
    as_json: bool = _JSON,
) -> None:
    """Remove the calls that are older than they are kept; it may be stopped anywhere, and goes on the next time."""
    if every is not None and dry_run:
        raise UsageFault("--dry-run counts once.", remedy="Leave --every out.")
    pause_s = None if every is None else _seconds(every)

    async def once(operating: Operating) -> None:
        if dry_run:
            _print_due(await _keepings(operating), as_json=as_json)
        else:
            _print_runs(operating, *await _run(operating, batch, abandoned=abandoned), as_json=as_json)

    if pause_s is None:
        with_database(org, once)
        return
    with_database(org, lambda operating: _for_ever(operating, pause_s, batch, abandoned=abandoned, as_json=as_json))


async def _for_ever(operating: Operating, pause_s: float, batch: int, *, abandoned: bool, as_json: bool) -> None:
    """Run until a signal ends it; a database that is away is tried again the next time."""
    hint("Runs until it is stopped.")
    while True:
        try:
            _print_runs(operating, *await _run(operating, batch, abandoned=abandoned), as_json=as_json)
        except StoreUnreachable as away:
            hint(str(away))
        await asyncio.sleep(pause_s)


async def _keepings(operating: Operating) -> list[Keeping]:
    return [(await keepings(operating.database, each.id))[0] for each in operating.organizations]


async def _run(operating: Operating, batch: int, *, abandoned: bool) -> tuple[list[RetentionRun], int]:
    done = [
        await retain(operating.database, each.id, batch=batch, abandoned=abandoned) for each in operating.organizations
    ]
    return [run for run in done if run is not None], await tidy(operating.database)


def _print_due(rows: Sequence[Keeping], *, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": True, "organizations": rows})
        return
    print_table(
        ("organization", "kept", "sessions", "events", "tests", "audit entries"),
        [(row.name, _days(row.retention_days), row.sessions, row.events, row.tests, row.audit) for row in rows],
        empty="There is no organization.",
    )
    hint("Nothing was removed.")


def _print_runs(operating: Operating, runs: Sequence[RetentionRun], answers: int, *, as_json: bool) -> None:
    names = {each.id: each.name for each in operating.organizations}
    if as_json:
        listed = [{**asdict(run), "organization": names[run.organization_id]} for run in runs]
        print_json({"dry_run": False, "runs": listed, "answers": answers})
        return
    print_table(
        ("organization", "older than", "sessions", "events", "others", "status"),
        [(names[run.organization_id], run.cutoff, run.sessions, run.events, run.others, run.status) for run in runs],
        empty="Everything is kept forever. `patchbay retention set 90` keeps calls for 90 days.",
    )


def _given(text: str) -> int | None:
    if text == _FOR_EVER:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 36500:
        raise UsageFault(f"{plain(text)!r} is no number of days.", remedy="From 1 to 36500, or forever.")
    return int(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None or not int(found[1]):
        raise UsageFault(f"{plain(text)!r} is no length of time.", remedy="For example: --every 24h")
    return float(int(found[1]) * _UNITS[found[2]])


def _days(days: int | None) -> str:
    return _FOR_EVER if days is None else f"{days} days"
