"""`patchbay organization`, or `patchbay org`: makes tenants, says what one may use up, and what it uses."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import typer

from cli.context import CliStore, with_store
from cli.output import hint, plain, print_json, print_record, print_table, say
from cli.rows import checked_text, with_rows
from cli.verb import epilog, new_app
from runtime.errors import UsageFault
from runtime.session.ports import Limits, OrganizationLoad, TenantRow
from runtime.settings import Settings
from runtime.store.row_access import Rows

__all__ = ["app"]

app = new_app("Make, list and show organizations, and limit what one uses up.")

_JSON = typer.Option(False, "--json", help="Print one JSON object.")
_MOST = 1_000_000


@app.command(epilog=epilog("patchbay org create Acme --json"))
def create(name: str = typer.Argument(metavar="NAME", help="What people call it."), as_json: bool = _JSON) -> None:
    """Make an organization. Names need not be unique; its id is."""
    wanted = checked_text(name, "NAME")
    made, namesakes = with_rows(lambda rows, _settings: _create(rows, wanted))
    if as_json:
        print_json(made)
    else:
        say(made["id"])
    if namesakes:
        hint(f"{namesakes} more of this name: where a command takes a name, name one of them by its id.")


@app.command("list", epilog=epilog("patchbay org list --json"))
def list_organizations(as_json: bool = _JSON) -> None:
    """List the organizations, the newest last."""
    rows = with_rows(_list)
    if as_json:
        print_json({"organizations": rows})
        return
    print_table(
        ("id", "name", "made"),
        [(row["id"], row["name"], datetime.fromisoformat(row["created_at"])) for row in rows],
        empty="No organization yet. `patchbay org create NAME` makes one.",
    )


@app.command(epilog=epilog("patchbay organization show --json"))
def show(as_json: bool = _JSON) -> None:
    """Show the organization of PATCHBAY_ORG: who answers, its limits and what it uses today (UTC)."""
    _print(*with_store(_read), as_json=as_json)


@app.command(epilog=epilog("patchbay organization limit --calls 20 --minutes 600 --prefix +49 --prefix +1"))
def limit(
    calls: int | None = typer.Option(None, "--calls", min=0, max=_MOST, help="Calls at once.", show_default=False),
    minutes: int | None = typer.Option(
        None, "--minutes", min=0, max=_MOST, help="Minutes a day (UTC).", show_default=False
    ),
    prefix: list[str] = typer.Option(
        [], "--prefix", help="Only numbers that begin so may be dialled; may be repeated.", show_default=False
    ),
    none: bool = typer.Option(False, "--none", help="Lift all limits, before the other options are set."),
    as_json: bool = _JSON,
) -> None:
    """Limit the organization's calls; what is not named stays as it is. Calls that run go on."""
    if calls is None and minutes is None and not prefix and not none:
        raise UsageFault(
            "Name a limit: --calls, --minutes or --prefix; --none lifts all.",
            remedy="For example: patchbay organization limit --calls 20",
        )
    prefixes = tuple(dict.fromkeys(_checked(each) for each in prefix))

    async def work(opened: CliStore) -> tuple[TenantRow, OrganizationLoad]:
        known = Limits() if none else (await _read(opened))[0].limits
        given = {"max_concurrent_calls": calls, "max_minutes_a_day": minutes, "dial_prefixes": prefixes or None}
        changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        await opened.store.set_limits(opened.organization.id, replace(known, **changed))
        return await _read(opened)

    _print(*with_store(work), as_json=as_json)


async def _create(rows: Rows, name: str) -> tuple[dict[str, Any], int]:
    namesakes = await rows.select("organization", columns=["id"], where=[("name", "eq", name)])
    made = await rows.insert("organization", {"name": name}, returning=["id", "name"])
    return {"id": made["id"], "name": made["name"]}, len(namesakes)


async def _list(rows: Rows, _settings: Settings) -> list[dict[str, Any]]:
    return await rows.select(
        "organization", columns=["id", "name", "created_at"], order=[("created_at", "asc"), ("id", "asc")]
    )


async def _read(opened: CliStore) -> tuple[TenantRow, OrganizationLoad]:
    tenant = (await opened.store.directory()).organizations[opened.organization.id]
    return tenant, await opened.store.load(opened.organization.id)


def _checked(prefix: str) -> str:
    if not re.fullmatch(r"\+[1-9][0-9]{0,14}", prefix):
        raise UsageFault(
            f"{plain(prefix)!r} is no beginning of a telephone number.",
            remedy="Write plus and the country code, then as many digits as all have in common: --prefix +49 --prefix +1",
        )
    return prefix


def _print(tenant: TenantRow, load: OrganizationLoad, *, as_json: bool) -> None:
    limits = tenant.limits
    if as_json:
        print_json(
            {
                "id": tenant.id,
                "name": tenant.name,
                "default_workflow_id": tenant.default_workflow_id,
                "default_workflow_name": tenant.default_workflow_name,
                "max_concurrent_calls": limits.max_concurrent_calls,
                "max_minutes_a_day": limits.max_minutes_a_day,
                "dial_prefixes": limits.dial_prefixes,
                "active_calls": load.active_calls,
                "minutes_today": round(load.minutes_today, 2),
            }
        )
        return
    print_record(
        {
            "organization": tenant.name,
            "id": tenant.id,
            "any other number": tenant.default_workflow_name,
            "calls now": _of(load.active_calls, limits.max_concurrent_calls),
            "minutes today": _of(round(load.minutes_today), limits.max_minutes_a_day),
            "may be dialled": ", ".join(f"{prefix}…" for prefix in limits.dial_prefixes) or "any number",
        }
    )


def _of(used: int, most: int | None) -> str:
    return f"{used} (no limit)" if most is None else f"{used} of {most}"
