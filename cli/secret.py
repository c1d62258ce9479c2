"""`patchbay secret`: values that only tool configs and providers' keys may read, under `secrets.*`."""

from __future__ import annotations

import getpass
import sys

import typer

from cli.context import CliStore, with_store
from cli.output import hint, print_json, print_table
from cli.variable import checked_name, newest_first, remove_row
from cli.verb import epilog, new_app
from runtime.errors import UsageFault

__all__ = ["app"]

app = new_app("Set, list and remove secrets.")

_LARGEST = 64 * 1024


@app.command("set", epilog=epilog("patchbay secret set ORDERS_KEY < key.txt"))
def set_secret(name: str = typer.Argument(metavar="NAME", help="Read in workflows as secrets.NAME.")) -> None:
    """Set a secret to what standard input holds, without its last line end; it is stored encrypted."""
    checked_name(name)
    value = _from_stdin(name)
    with_store(lambda opened: _set(opened, name, value))
    hint(f"{name} is set; tool configs and api_key read it as secrets.{name}")


@app.command("list", epilog=epilog("patchbay secret list --json"))
def list_secrets(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """List the secrets' names, the last changed first; never their values."""
    rows = newest_first(with_store(lambda opened: opened.store.variables(opened.organization.id)))
    secrets = [row for row in rows if row.is_secret]
    if as_json:
        print_json({"secrets": [{"name": row.name, "updated_at": row.updated_at} for row in secrets]})
        return
    print_table(
        ("name", "changed"),
        [(row.name, row.updated_at) for row in secrets],
        empty="No secrets yet. `patchbay secret set NAME < file` makes one.",
    )


@app.command(epilog=epilog("patchbay secret remove ORDERS_KEY"))
def remove(name: str = typer.Argument(metavar="NAME", help="The secret's name.")) -> None:
    """Remove a secret."""
    with_store(lambda opened: remove_row(opened, name, is_secret=True))
    hint(f"{name} is removed")


async def _set(opened: CliStore, name: str, value: str) -> None:
    token = opened.keyring.encrypt(value)
    await opened.store.set_variable(opened.organization.id, name, token, is_secret=True)


def _from_stdin(name: str) -> str:
    if sys.stdin.isatty():
        value = getpass.getpass(f"Value of {name} (not shown): ", stream=sys.stderr)
    else:
        try:
            value = sys.stdin.buffer.read(_LARGEST + 1).decode()
        except UnicodeDecodeError:
            raise UsageFault(
                "Standard input is not UTF-8 text.", remedy="Encode a binary key first: base64 KEY"
            ) from None
    value = value.removesuffix("\n").removesuffix("\r")
    if not value or len(value) > _LARGEST:
        why = "is empty" if not value else f"is longer than {_LARGEST} bytes"
        raise UsageFault(f"The value of {name} {why}.", remedy=f"patchbay secret set {name} < FILE_WITH_THE_VALUE")
    return value
