"""`patchbay secret`: values that only tool configs and providers' keys may read, under `secrets.*`."""

from __future__ import annotations

import getpass
import sys

import typer

from cli.context import CliStore, with_store
from cli.output import hint, print_json, print_table, say
from cli.variable import checked_name, newest_first, remove_row
from cli.verb import epilog, new_app
from runtime.errors import UsageFault
from runtime.settings import Settings
from runtime.store.rotation import Rotation, rotate_secrets
from runtime.store.secrets import KEY_FILE, MAKE_A_KEY, add_key

__all__ = ["app"]

app = new_app("Set, list, remove and rotate secrets.")

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


@app.command(epilog=epilog("patchbay secret rotate --new-key"))
def rotate(
    new_key: bool = typer.Option(False, "--new-key", help="First make a new key in PATCHBAY_HOME."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Encrypt the secrets of all organizations with the newest key; 1 where no key opens one."""
    if new_key:
        _add_key()
    rotation, keys = with_store(_rotate)
    if as_json:
        print_json({"rotated": rotation.rotated, "current": rotation.current, "unreadable": rotation.unreadable})
    else:
        _say_rotation(rotation)
    if rotation.unreadable:
        hint("Keep all keys. Add the one these were written with, or set them again, each with its PATCHBAY_ORG.")
        raise typer.Exit(1)
    if keys > 1:
        hint(_WHEN_TO_DROP)


_WHEN_TO_DROP = (
    "The older keys may be dropped when every worker has been restarted with the newest in front, this command then finds "
    "nothing left to rotate, and the calls that began before have ended."
)


def _add_key() -> None:
    settings = Settings.load()
    if settings.secret_key is not None:
        raise UsageFault(
            "PATCHBAY_SECRET_KEY is set, and --new-key is for the key file in PATCHBAY_HOME.",
            remedy=f"Put a new key in front of it, with a comma between, and restart the workers: {MAKE_A_KEY}",
        )
    add_key(settings.make_home())
    hint(f"A new key stands first in {settings.home / KEY_FILE}; restart workers that run, they do not know it yet.")


async def _rotate(opened: CliStore) -> tuple[Rotation, int]:
    keyring = opened.keyring
    return await rotate_secrets(opened.store, keyring), len(keyring)


def _say_rotation(rotation: Rotation) -> None:
    say(
        f"{rotation.rotated} rotated, {rotation.current} already under the newest key, {len(rotation.unreadable)} unreadable"
    )
    for secret in rotation.unreadable:
        say(f"✗ {secret.name} of {secret.organization}: no key opens it", style="red")


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
