"""`patchbay webhooks`: what became of the webhooks that are sent after calls, and sending them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal
from uuid import UUID

import typer

from cli.context import CliStore, with_store
from cli.output import plain, print_json, print_record, print_table, say
from cli.session import find_call
from cli.verb import epilog, new_app
from runtime.errors import NotFound, UsageFault
from runtime.session.outbox_ports import DeliveryRow

__all__ = ["app"]

Json = Any
Status = Literal["pending", "delivered", "dead"]

app = new_app("See what became of webhooks, and send them again.")

# A prefix is looked for among so many of the newest deliveries, and so many dead letters are replayed at once.
_SEARCHED = 10_000
_REPLAYED = 1000
_ID = typer.Argument(metavar="ID", help="The delivery's id, or its beginning where that is unique.")
_JSON = typer.Option(False, "--json", help="Print one JSON object.")


@app.command("list", epilog=epilog("patchbay webhooks list --status dead"))
def list_deliveries(
    status: Status | None = typer.Option(None, "--status", help="Only those that stand so.", show_default=False),
    session: str | None = typer.Option(
        None, "--session", metavar="ID", help="Only those of one session.", show_default=False
    ),
    limit: int = typer.Option(50, min=1, max=_SEARCHED, help="How many, newest first."),
    as_json: bool = _JSON,
) -> None:
    """List the deliveries of webhooks, newest first."""

    async def work(opened: CliStore) -> list[DeliveryRow]:
        session_id = None if session is None else (await find_call(opened, session)).id
        return await opened.store.deliveries(opened.organization.id, status=status, session_id=session_id, limit=limit)

    rows = with_store(work)
    if as_json:
        print_json({"deliveries": [_shown(row) for row in rows]})
        return
    _print_rows(rows, empty="No webhooks yet. `session.on_end` of a workflow names them.")


@app.command(epilog=epilog("patchbay webhooks show 7f3a"))
def show(delivery_id: str = _ID, as_json: bool = _JSON) -> None:
    """Show one delivery, and what the receiver is told."""

    async def work(opened: CliStore) -> tuple[DeliveryRow, Json]:
        row = await _find(opened, delivery_id)
        return row, await _payload(opened, row)

    row, payload = with_store(work)
    if as_json:
        print_json({**_shown(row), "payload": payload})
        return
    print_record(_shown(row))
    say(json.dumps(payload, ensure_ascii=False, indent=2))


@app.command(epilog=epilog("patchbay webhooks replay 7f3a", "patchbay webhooks replay --dead"))
def replay(
    delivery_ids: list[str] | None = typer.Argument(
        None, metavar="[ID]...", help="Deliveries' ids, or their beginnings.", show_default=False
    ),
    dead: bool = typer.Option(False, "--dead", help="Every dead letter, up to a thousand."),
    as_json: bool = _JSON,
) -> None:
    """Send webhooks again, now and with the id they had; 1 where one did not arrive."""
    ids = delivery_ids or []
    if bool(ids) is dead:
        raise UsageFault("Name deliveries, or say --dead.", remedy="`patchbay webhooks list` shows what there is.")
    rows = with_store(lambda opened: _replayed(opened, ids))
    if as_json:
        print_json({"deliveries": [_shown(row) for row in rows]})
    else:
        _print_rows(rows, empty="There is no dead letter.")
    if any(row.status != "delivered" for row in rows):
        raise typer.Exit(1)


async def _replayed(opened: CliStore, ids: Sequence[str]) -> list[DeliveryRow]:
    # What sends brings the rules and an HTTP client, half a second that the other commands need not spend.
    from tools.after_call import open_reader  # noqa: PLC0415

    if ids:
        chosen = [(await _find(opened, each)).id for each in ids]
    else:
        rows = await opened.store.deliveries(opened.organization.id, status="dead", limit=_REPLAYED)
        chosen = [row.id for row in rows]
    async with open_reader(opened.store, opened.keyring, opened.settings) as reader:
        return await reader.replay(list(dict.fromkeys(chosen)))


async def _payload(opened: CliStore, row: DeliveryRow) -> Json:
    """Return what the next attempt would send, or None where the webhook is no longer in its workflow."""
    from tools.after_call import payload_of  # noqa: PLC0415 - the rules take half a second to import

    try:
        return await payload_of(opened.store, row)
    except (NotFound, IndexError):
        return None


async def _find(opened: CliStore, text: str) -> DeliveryRow:
    """Return the delivery whose id is `text` or, alone among the newest, begins with it."""
    if (whole := _uuid(text)) is not None:
        row = await opened.store.delivery(whole)
        found = [row] if row.organization_id == opened.organization.id else []
    else:
        rows = await opened.store.deliveries(opened.organization.id, limit=_SEARCHED)
        found = [row for row in rows if text and row.id.startswith(text.casefold())]
    if len(found) > 1:
        listed = ", ".join(row.id for row in found[:5])
        raise UsageFault(
            f"{len(found)} deliveries begin with {plain(text)!r}: {listed}.", remedy="Give more of the id."
        )
    if not found:
        raise NotFound(f"There is no delivery {plain(text)!r}.", remedy="`patchbay webhooks list` shows what there is.")
    return found[0]


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _shown(row: DeliveryRow) -> dict[str, Json]:
    return {name: value for name, value in asdict(row).items() if name != "leased_until"}


def _print_rows(rows: Sequence[DeliveryRow], *, empty: str) -> None:
    print_table(
        ("id", "webhook", "session", "status", "attempts", "last", "answer", "next"),
        [_line(row) for row in rows],
        empty=empty,
    )


def _line(row: DeliveryRow) -> tuple[object, ...]:
    due = row.due_at if row.status == "pending" else None
    answer = row.last_error or row.last_status
    return row.id, row.name, row.session_id, row.status, row.attempts, row.last_attempt_at, answer, due
