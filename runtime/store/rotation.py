"""Secrets written anew under the newest key, so that the older ones may be dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from runtime.errors import PatchbayError
from runtime.session.ports import Store, WorkspaceVariableRow
from runtime.store.secrets import Keyring

__all__ = ["Rotation", "SecretName", "rotate_secrets"]

_End: TypeAlias = Literal["rotated", "current", "removed", "unreadable"]


@dataclass(frozen=True, slots=True)
class SecretName:
    """A secret, and whose; no value."""

    organization: str
    name: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many secrets were written anew, how many had the newest key already, and which no key opens."""

    rotated: int
    current: int
    unreadable: tuple[SecretName, ...]


async def rotate_secrets(store: Store, keyring: Keyring) -> Rotation:
    """Encrypt every secret of every organization with the keyring's newest key. May be repeated, and be stopped half-way.

    A secret that somebody sets meanwhile is left as they set it. What running calls hold (`call_secret`, and the event
    logs of processes) stays under its key: it is deleted as the calls end.
    """
    ends: list[tuple[SecretName, _End]] = []
    for organization in (await store.directory()).organizations.values():
        for row in await store.variables(organization.id):
            if row.is_secret:
                end = await _rotate(store, keyring, organization.id, row)
                ends.append((SecretName(organization.name, row.name), end))
    return Rotation(
        rotated=sum(end == "rotated" for _, end in ends),
        current=sum(end == "current" for _, end in ends),
        unreadable=tuple(name for name, end in ends if end == "unreadable"),
    )


async def _rotate(store: Store, keyring: Keyring, organization_id: str, row: WorkspaceVariableRow) -> _End:
    found: WorkspaceVariableRow | None = row
    # Each time round somebody else has set the secret in between, which nobody does for ever.
    while found is not None and found.is_secret:
        if keyring.is_newest(found.value):
            return "current"
        try:
            token = keyring.renewed(found.value)
        except PatchbayError:
            return "unreadable"
        if await store.replace_secret(organization_id, found.name, found.value, token):
            return "rotated"
        found = next((each for each in await store.variables(organization_id) if each.name == row.name), None)
    return "removed"
