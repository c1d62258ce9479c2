"""`patchbay workers`: the workers of the fleet, where they are and what they do."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from cli.context import with_store
from cli.output import print_json, print_table
from cli.verb import epilog, new_app
from runtime.session.fleet_ports import WorkerRow

__all__ = ["app"]

app = new_app()


@app.command(epilog=epilog("patchbay workers --json"))
def workers(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """List the workers with what they carry; one that was not heard for 10 seconds is lost, and listed for a day."""
    rows = with_store(lambda opened: opened.store.workers())
    if as_json:
        print_json({"workers": rows})
        return
    print_table(
        ("id", "host", "region", "version", "state", "calls", "seen"),
        [_line(row) for row in rows],
        empty="No worker is registered. `patchbay worker` or `patchbay dev` starts one.",
    )


def _line(row: WorkerRow) -> tuple[object, ...]:
    calls = f"{row.calls}/{row.capacity}"
    return row.id, row.host, row.region, row.version, row.state, calls, _ago(row.seen_at)


def _ago(seen_at: datetime | None) -> str | None:
    if seen_at is None:
        return None
    seconds = max(0, round((datetime.now(UTC) - seen_at).total_seconds()))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"
