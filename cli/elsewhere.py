"""Calls that run on a server: which one, what opens it, and how such a call is placed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import typer

from api.local import TOKEN_FILE
from cli.running import Choice, while_somebody_reads
from cli.source import read_mocks
from runtime.errors import UsageFault
from runtime.harness.joining import ApiServer, Wanted, invite
from runtime.harness.remote import RemotePhone
from runtime.session.ports import EventRow
from runtime.settings import Settings

__all__ = ["TOKEN", "URL", "open_remote", "server_of"]

URL = typer.Option(None, "--url", metavar="URL", help="Let a server run the call: the address of its API.")
TOKEN = typer.Option(
    None, "--token", metavar="KEY", help="What opens the server; default PATCHBAY_API_KEY, on this machine dev's own."
)


def server_of(settings: Settings, url: str, token: str | None, choice: Choice) -> ApiServer:
    """Return the server that is meant. Raises UsageFault without a token, and for a FILE, which a server does not have."""
    if choice.file is not None:
        raise UsageFault(
            "FILE cannot be combined with --url: a server runs the versions that it has stored.",
            remedy="Name one with --version ID or --workflow NAME. A draft is made with POST /api/workflows on the server.",
        )
    given = token or (settings.api_key.get_secret_value() if settings.api_key is not None else None)
    server = ApiServer(url, given or "")
    found = given or (_local_token(settings) if server.is_loopback else None)
    if not found or not found.isascii() or not found.isprintable():
        raise UsageFault(
            f"There is no token that opens {url}." if not found else "The token has characters that no token has.",
            remedy="Name one with --token or PATCHBAY_API_KEY; patchbay key create makes one.",
        )
    return ApiServer(url, found)


def _local_token(settings: Settings) -> str | None:
    """Return what `patchbay dev` wrote for its owner; it is told to nobody but this machine."""
    try:
        return (settings.home / TOKEN_FILE).read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


@asynccontextmanager
async def open_remote(
    server: ApiServer, choice: Choice, *, offline: bool, watch: Callable[[EventRow], None]
) -> AsyncIterator[RemotePhone]:
    """Yield the telephone of a test call on the server, which is over afterwards. Raises PatchbayError."""
    wanted = Wanted(choice.version, choice.workflow, read_mocks(choice.mocks), offline)
    invitation = await invite(server, wanted)
    phone = await RemotePhone.join(invitation, while_somebody_reads(watch))
    try:
        yield phone
    finally:
        await phone.aclose()
