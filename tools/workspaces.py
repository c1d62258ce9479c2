"""An organization's workspace variables as webhooks read them: asked for anew each time, secrets in plain text."""

from __future__ import annotations

from collections.abc import Callable

from runtime.session.ports import Store
from tools.webhook import Workspace, Workspaces

__all__ = ["workspaces_of"]


def workspaces_of(store: Store, decrypt: Callable[[str], str]) -> Workspaces:
    """Return what reads `store`; `decrypt` turns a secret's token into its text and may raise `PatchbayError`."""

    async def workspace(organization_id: str) -> Workspace:
        rows = await store.variables(organization_id)
        return Workspace(
            variables={row.name: row.value for row in rows if not row.is_secret},
            secrets={row.name: decrypt(row.value) for row in rows if row.is_secret},
        )

    return workspace
