"""What every store promises of a secret that is written anew."""

from __future__ import annotations

import asyncio

from runtime.session.ports import OrganizationRow, Store
from runtime.store.rotation import SecretName, rotate_secrets
from runtime.store.secrets import Keyring

OLD, NEW, LOST = (f"{letter * 43}=" for letter in "AEI")
ROTATING = Keyring([NEW, OLD])


async def values(store: Store, organization_id: str) -> dict[str, str]:
    return {row.name: row.value for row in await store.variables(organization_id)}


async def test_a_secret_is_replaced_only_where_it_still_is_what_it_was(store: Store, acme: OrganizationRow) -> None:
    await store.set_variable(acme.id, "KEY", "old", is_secret=True)
    assert await store.replace_secret(acme.id, "KEY", "old", "new") is True
    assert await store.replace_secret(acme.id, "KEY", "old", "newer") is False
    assert [(row.value, row.is_secret) for row in await store.variables(acme.id)] == [("new", True)]


async def test_what_is_no_such_secret_is_not_replaced(store: Store, acme: OrganizationRow) -> None:
    other = await store.ensure_organization("Other")
    await store.set_variable(acme.id, "PLAIN", "old", is_secret=False)
    await store.set_variable(acme.id, "KEY", "old", is_secret=True)
    assert await store.replace_secret(acme.id, "PLAIN", "old", "new") is False
    assert await store.replace_secret(acme.id, "NONE", "old", "new") is False
    assert await store.replace_secret(other.id, "KEY", "old", "new") is False
    assert await values(store, acme.id) == {"KEY": "old", "PLAIN": "old"}
    assert await values(store, other.id) == {}


async def test_of_two_who_replace_one_does(store: Store, acme: OrganizationRow) -> None:
    await store.set_variable(acme.id, "KEY", "old", is_secret=True)
    done = await asyncio.gather(*(store.replace_secret(acme.id, "KEY", "old", f"new {n}") for n in range(4)))
    assert sorted(done) == [False, False, False, True]
    assert (await values(store, acme.id))["KEY"] == f"new {done.index(True)}"


async def test_rotation_reaches_every_organization_and_is_done_once(store: Store, acme: OrganizationRow) -> None:
    other = await store.ensure_organization("Other")
    for organization, name, key in ((acme, "A", OLD), (acme, "B", NEW), (other, "A", OLD), (other, "L", LOST)):
        token = Keyring([key]).encrypt(f"{organization.name} {name}")
        await store.set_variable(organization.id, name, token, is_secret=True)
    await store.set_variable(acme.id, "PLAIN", "text", is_secret=False)
    before = await values(store, acme.id) | {"lost": (await values(store, other.id))["L"]}
    first = await rotate_secrets(store, ROTATING)
    assert (first.rotated, first.current, first.unreadable) == (2, 1, (SecretName("Other", "L"),))
    after = await values(store, acme.id)
    assert (after["B"], after["PLAIN"]) == (before["B"], "text")
    assert (await values(store, other.id))["L"] == before["lost"]
    only_new = Keyring([NEW])
    assert only_new.decrypt(after["A"]) == "Acme A"
    assert only_new.decrypt((await values(store, other.id))["A"]) == "Other A"
    again = await rotate_secrets(store, ROTATING)
    assert (again.rotated, again.current, again.unreadable) == (0, 3, (SecretName("Other", "L"),))
    assert await values(store, acme.id) == after
