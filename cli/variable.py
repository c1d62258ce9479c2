"""`patchbay variable`: values that every workflow reads under `workspace.*`."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import typer

from cli.context import CliStore, with_store
from cli.output import hint, print_json, print_table
from cli.verb import epilog, new_app
from runtime.errors import NotFound, UsageFault
from runtime.session.ports import WorkspaceVariableRow

__all__ = ["app", "checked_name", "newest_first", "remove_row", "without_secret"]

app = new_app("Set, list and remove workspace variables.")


@app.command("set", epilog=epilog("patchbay variable set brand 'Acme Ltd'"))
def set_variable(
    name: str = typer.Argument(metavar="NAME", help="Read in workflows as workspace.NAME."),
    value: str = typer.Argument(
        metavar="VALUE", help="Plain text; for one that begins with a dash write -- before NAME."
    ),
) -> None:
    """Set a workspace variable; secrets go through `patchbay secret set`."""
    with_store(lambda opened: _set(opened, checked_name(name), value))
    hint(f"{name} is set; workflows read it as workspace.{name}")


@app.command("list", epilog=epilog("patchbay variable list --json"))
def list_variables(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """List variables and secrets, the last changed first; secrets without their values."""
    rows = newest_first(with_store(lambda opened: opened.store.variables(opened.organization.id)))
    if as_json:
        print_json({"variables": [without_secret(row) for row in rows]})
        return
    print_table(
        ("name", "value", "changed"),
        [(row.name, "•••" if row.is_secret else row.value, row.updated_at) for row in rows],
        empty="No variables yet. `patchbay variable set NAME VALUE` makes one.",
    )


@app.command(epilog=epilog("patchbay variable remove brand"))
def remove(name: str = typer.Argument(metavar="NAME", help="The variable's name.")) -> None:
    """Remove a workspace variable."""
    with_store(lambda opened: remove_row(opened, name, is_secret=False))
    hint(f"{name} is removed")


def checked_name(name: str) -> str:
    """Return `name` where a template can read it; raises UsageFault otherwise."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
        raise UsageFault(
            f"{name!r} cannot be read in a template.",
            remedy="Use letters, digits and underscores, at most 100, beginning with a letter: support_number",
        )
    return name


def newest_first(rows: list[WorkspaceVariableRow]) -> list[WorkspaceVariableRow]:
    """Return the rows, the last changed first."""
    return sorted(rows, key=lambda row: row.updated_at, reverse=True)


def without_secret(row: WorkspaceVariableRow) -> dict[str, Any]:
    """Return the row as an object, a secret's value as null."""
    return {**asdict(row), "value": None if row.is_secret else row.value}


async def remove_row(opened: CliStore, name: str, *, is_secret: bool) -> None:
    """Remove the variable or secret of this name; raises NotFound naming what there is."""
    names = [row.name for row in await opened.store.variables(opened.organization.id) if row.is_secret is is_secret]
    if name not in names:
        kind = "secret" if is_secret else "variable"
        there = f"There are: {', '.join(sorted(names))}." if names else f"`patchbay {kind} set` makes one."
        raise NotFound(f"There is no {kind} {name!r}.", remedy=there)
    await opened.store.remove_variable(opened.organization.id, name)


async def _set(opened: CliStore, name: str, value: str) -> None:
    rows = await opened.store.variables(opened.organization.id)
    if any(row.name == name and row.is_secret for row in rows):
        raise UsageFault(
            f"{name} is a secret, and a variable would show its value.",
            remedy=f"Change it with `patchbay secret set {name}`, or remove it first: patchbay secret remove {name}",
        )
    await opened.store.set_variable(opened.organization.id, name, value, is_secret=False)
