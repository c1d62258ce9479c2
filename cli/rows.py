"""Opens the rows that commands of operators change by themselves: organizations, and keys of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from cli.context import log_to_stderr
from cli.loop import run
from cli.output import plain
from runtime.errors import NotFound, UsageFault
from runtime.settings import Settings
from runtime.store.opening_rows import open_row_access
from runtime.store.row_access import SERVICE, Rows
from runtime.workflow.faults import UNSTORABLE

__all__ = ["checked_text", "is_id", "organization_of", "with_rows"]

T = TypeVar("T")
_LONGEST = 200


def with_rows(work: Callable[[Rows, Settings], Awaitable[T]]) -> T:
    """Load the settings, open the database as the service, do `work` and close it again."""
    settings = Settings.load()
    log_to_stderr(settings)

    async def opened_and_closed() -> T:
        async with open_row_access(settings) as opened:
            return await work(opened.access.of(SERVICE), settings)

    return run(opened_and_closed())


async def organization_of(rows: Rows, settings: Settings, named: str | None) -> dict[str, Any]:
    """Return `id` and `name` of the organization with this id or name; PATCHBAY_ORG, made where it is missing, for None.

    Raises `NotFound`, and `UsageFault` where several have the name.
    """
    if named is None:
        made: dict[str, Any] = await rows.rpc("patchbay_store_organization", {"name": settings.org})
        return made
    column = "id" if is_id(named) else "name"
    found = await rows.select(
        "organization", columns=["id", "name"], where=[(column, "eq", checked_text(named, "--org"))]
    )
    if not found:
        raise NotFound(f"There is no organization '{plain(named)}'.", remedy="See: patchbay org list")
    if len(found) > 1:
        ids = ", ".join(row["id"] for row in found)
        raise UsageFault(
            f"{len(found)} organizations are called '{plain(named)}'.", remedy=f"Name one by its id: {ids}"
        )
    return found[0]


def is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def checked_text(text: str, what: str) -> str:
    """Return the text without the spaces around it; raises `UsageFault` where no database has room for it."""
    stripped = text.strip()
    if not stripped or len(stripped) > _LONGEST or UNSTORABLE.search(stripped):
        raise UsageFault(f"{what} must be a text of 1 to {_LONGEST} characters.")
    return stripped
