"""What `patchbay retention` and `patchbay caller` have in common: the database's functions, and which organizations are meant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import typer

from cli.context import CliStore, open_cli_store
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import plain
from runtime.aftercall.operating_ports import Functions
from runtime.errors import NotFound, UsageFault
from runtime.session.ports import TenantRow
from runtime.settings import Settings
from runtime.store.opening_rows import open_row_access
from runtime.store.row_access import SERVICE

__all__ = ["ORG", "Operating", "with_database"]

T = TypeVar("T")

ORG = typer.Option(
    None, "--org", metavar="NAME", help="An organization's name or id, or all; else PATCHBAY_ORG's.", show_default=False
)


@dataclass(frozen=True, slots=True)
class Operating:
    """An opened store, its database's functions, and the organizations that the command means."""

    opened: CliStore
    database: Functions
    organizations: tuple[TenantRow, ...]

    @property
    def organization(self) -> TenantRow:
        """The only one; raises UsageFault where the command means several."""
        if len(self.organizations) != 1:
            raise UsageFault("This is done for one organization at a time.", remedy="Name it: --org NAME")
        return self.organizations[0]


def with_database(org: str | None, work: Callable[[Operating], Awaitable[T]]) -> T:
    """Load the settings, open the store (which sends what dead processes left), do `work` and close it again."""
    settings = Settings.load()
    log_to_stderr(settings)

    async def opened_and_closed() -> T:
        async with open_cli_store(settings) as opened, open_row_access(settings) as rows:
            return await work(Operating(opened, rows.access.of(SERVICE), await _meant(opened, org)))

    return run(opened_and_closed())


async def _meant(opened: CliStore, org: str | None) -> tuple[TenantRow, ...]:
    every = (await opened.store.directory()).organizations
    if org is None:
        return (every[opened.organization.id],)
    if org == "all":
        return tuple(sorted(every.values(), key=lambda each: (each.name, each.id)))
    if org in every:
        return (every[org],)
    found = [each for each in every.values() if each.name == org]
    if len(found) > 1:
        listed = ", ".join(sorted(each.id for each in found))
        raise UsageFault(
            f"{len(found)} organizations are called {plain(org)!r}.", remedy=f"Name one by its id: {listed}"
        )
    if not found:
        known = ", ".join(sorted({each.name for each in every.values()}))
        raise NotFound(f"There is no organization {plain(org)!r}.", remedy=f"Organizations: {known}.")
    return (found[0],)
