"""`patchbay key`: keys with which programs use the control API."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from api.access import Role, permissions_of
from api.auth import hash_of, new_key
from cli.output import hint, plain, print_json, print_table, say
from cli.rows import checked_text, is_id, organization_of, with_rows
from cli.verb import epilog, new_app
from runtime.errors import NotFound, UsageFault
from runtime.settings import Settings
from runtime.store.row_access import Rows

__all__ = ["app"]

app = new_app("Make, list and revoke keys of the control API.")

_ORG = typer.Option(None, "--org", metavar="ID", help="Id or name; default PATCHBAY_ORG.", show_default=False)
_JSON = typer.Option(False, "--json", help="Print one JSON object.")
_COLUMNS = ("id", "name", "prefix", "role", "scopes", "created_at", "expires_at", "revoked_at")
_PREFIX_LENGTH = 9
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LONGEST_S = 10 * 365 * 86_400


@app.command(epilog=epilog("patchbay key create --org Acme --role builder --expires-in 90d --json"))
def create(
    role: Role = typer.Option(..., "--role", help="What the key may at most."),
    org: str | None = _ORG,
    name: str | None = typer.Option(None, "--name", help="What the key is for; default: its role.", show_default=False),
    scope: list[str] = typer.Option(
        [],
        "--scope",
        help="Narrow the key to this, such as workflows:read; may be repeated. Default: all that its role may.",
        show_default=False,
    ),
    expires_in: str | None = typer.Option(
        None, "--expires-in", metavar="TIME", help="12h, 90d, 8w; default: never.", show_default=False
    ),
    as_json: bool = _JSON,
) -> None:
    """Make a key and print it, which is the only time it is shown."""
    given = {
        "name": checked_text(name, "--name") if name is not None else role,
        "role": role,
        "scopes": _checked_scopes(scope, role),
        "expires_at": _moment(expires_in) if expires_in is not None else None,
    }
    key = new_key()

    async def work(rows: Rows, settings: Settings) -> tuple[str, str]:
        organization = await organization_of(rows, settings, org)
        stored = given | {
            "organization_id": organization["id"],
            "prefix": key[:_PREFIX_LENGTH],
            "key_hash": hash_of(key),
        }
        made = await rows.insert("api_key", stored, returning=["id"])
        return made["id"], organization["name"]

    key_id, organization = with_rows(work)
    if as_json:
        print_json({"id": key_id, "key": key})
    else:
        say(key)
    hint(f"A key of {organization} with the role {role}. It is stored nowhere and not shown again.")


@app.command("list", epilog=epilog("patchbay key list --org Acme --json"))
def list_keys(org: str | None = _ORG, as_json: bool = _JSON) -> None:
    """List an organization's keys, the newest first; never the keys themselves."""

    async def work(rows: Rows, settings: Settings) -> list[dict[str, Any]]:
        organization = await organization_of(rows, settings, org)
        return await rows.select(
            "api_key",
            columns=_COLUMNS,
            where=[("organization_id", "eq", organization["id"])],
            order=[("created_at", "desc"), ("id", "desc")],
        )

    keys = with_rows(work)
    if as_json:
        print_json({"keys": keys})
        return
    print_table(
        ("id", "name", "begins", "role", "scopes", "made", "state"),
        [
            (
                row["id"],
                row["name"],
                f"{row['prefix']}…",
                row["role"],
                ", ".join(row["scopes"]) if row["scopes"] is not None else "all",
                datetime.fromisoformat(row["created_at"]),
                _state(row),
            )
            for row in keys
        ],
        empty="No keys yet. `patchbay key create --role builder` makes one.",
    )


@app.command(epilog=epilog("patchbay key revoke 7f3c2b1a-5d4e-4f60-8a9b-0c1d2e3f4a5b"))
def revoke(key_id: str = typer.Argument(metavar="ID", help="The key's id, as `key list` shows it.")) -> None:
    """Revoke a key for good; servers that run refuse it within seconds."""
    changed = with_rows(lambda rows, _settings: _revoke(rows, key_id))
    hint(f"{plain(key_id)} is revoked." if changed else f"{plain(key_id)} was revoked before.")


async def _revoke(rows: Rows, key_id: str) -> bool:
    where: list[Any] = [("id", "eq", key_id)]
    found = await rows.select("api_key", columns=["revoked_at"], where=where) if is_id(key_id) else []
    if not found:
        raise NotFound(f"There is no key '{plain(key_id)}'.", remedy="See: patchbay key list")
    now = datetime.now(UTC).isoformat()
    open_ones = [*where, ("revoked_at", "is", None)]
    return bool(await rows.update("api_key", open_ones, {"revoked_at": now}, returning=["id"]))


def _checked_scopes(scopes: list[str], role: Role) -> list[str] | None:
    known = permissions_of(role)
    for scope in scopes:
        if scope not in known:
            raise UsageFault(
                f"{plain(scope)!r} is nothing that the role {role} may.", remedy=f"One of: {', '.join(sorted(known))}"
            )
    return sorted(set(scopes)) or None


def _moment(text: str) -> str:
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip())
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_S:
        raise UsageFault(
            f"{plain(text)!r} is no time from now of at most ten years.",
            remedy="Write minutes, hours, days or weeks: 30m, 12h, 90d, 8w",
        )
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _state(row: dict[str, Any]) -> str:
    if row["revoked_at"] is not None:
        return "revoked"
    if row["expires_at"] is None:
        return "valid"
    moment = datetime.fromisoformat(row["expires_at"])
    until = moment.astimezone().strftime("%Y-%m-%d %H:%M")
    return f"until {until}" if moment > datetime.now(UTC) else "expired"
