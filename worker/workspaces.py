"""The variables and secrets of organizations, read once and again when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from runtime.errors import StoreUnreachable
from runtime.session.ports import Store, WorkspaceVariableRow

__all__ = ["Workspaces"]

# A caller waits for it, and what was known before is better than a long silence.
_PATIENCE_S: Final = 1.0
_FIRST_PATIENCE_S: Final = 5.0


class Workspaces:
    """What `store` says of each organization's variables, kept until `forget`; the last word while it is away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Sequence[WorkspaceVariableRow]] = {}
        self._fresh: set[str] = set()
        self._changes = 0

    def forget(self, organization_id: str | None = None) -> None:
        """Ask the store again before the next answer: for one organization, or for all."""
        self._changes += 1
        if organization_id is None:
            self._fresh.clear()
        else:
            self._fresh.discard(organization_id)

    async def get(self, organization_id: str) -> Sequence[WorkspaceVariableRow]:
        """Return the variables. Raises `StoreUnreachable` where the store is away and they were never read."""
        if organization_id in self._fresh:
            return self._known[organization_id]
        known = self._known.get(organization_id)
        try:
            async with asyncio.timeout(_FIRST_PATIENCE_S if known is None else _PATIENCE_S):
                return await self._read(organization_id)
        except (StoreUnreachable, TimeoutError) as error:
            if known is not None:
                return known
            if isinstance(error, StoreUnreachable):
                raise
            raise StoreUnreachable("The database takes too long to say an organization's variables.") from error

    async def _read(self, organization_id: str) -> Sequence[WorkspaceVariableRow]:
        before = self._changes
        rows = tuple(await self._store.variables(organization_id))
        self._known[organization_id] = rows
        if before == self._changes:  # else it may have changed while it was read
            self._fresh.add(organization_id)
        return rows
