"""What every store promises of organizations, workflows, versions and variables."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from runtime.errors import NotFound, PatchbayError
from runtime.session.ports import OrganizationRow, Store
from tests.contract.rows import CONFIG


async def test_an_organization_is_made_once_and_found_by_name_and_id(store: Store) -> None:
    first, again = await asyncio.gather(store.ensure_organization("Acme"), store.ensure_organization("Acme"))
    assert first == again
    assert await store.ensure_organization(first.id) == first
    assert (await store.ensure_organization("Other")).id != first.id


async def test_a_draft_is_found_again_by_its_content(store: Store, acme: OrganizationRow) -> None:
    first = await store.save_draft(acme.id, "support", CONFIG)
    again = await store.save_draft(acme.id, "support", dict(reversed(CONFIG.items())))
    other = await store.save_draft(acme.id, "support", {"agents": []})
    assert again == first
    assert (first.version, other.version) == (1, 2)
    assert (first.status, first.published_at, first.config) == ("draft", None, CONFIG)
    assert (first.workflow_name, first.organization_id, first.workflow_id) == ("support", acme.id, other.workflow_id)


async def test_the_same_content_saved_at_once_makes_one_version(store: Store, acme: OrganizationRow) -> None:
    saved = await asyncio.gather(*(store.save_draft(acme.id, "support", CONFIG) for _ in range(6)))
    assert len({row.id for row in saved}) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [({"a": 1}, {"a": True}), ({"a": 1}, {"a": "1"}), ({"a": None}, {}), ({"a": [1, 2]}, {"a": [2, 1]})],
)
async def test_contents_that_differ_in_json_are_two_versions(
    store: Store, acme: OrganizationRow, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert (await store.save_draft(acme.id, "w", first)).id != (await store.save_draft(acme.id, "w", second)).id


async def test_a_version_is_read_by_its_id(store: Store, acme: OrganizationRow) -> None:
    saved = await store.save_draft(acme.id, "support", CONFIG)
    assert await store.version(saved.id) == saved
    assert saved.created_at.tzinfo is not None


async def test_publishing_archives_the_predecessor(store: Store, acme: OrganizationRow) -> None:
    one, two = (
        await store.save_draft(acme.id, "support", CONFIG),
        await store.save_draft(acme.id, "support", {"agents": []}),
    )
    assert (await store.publish(one.id)).status == "published"
    published = await store.publish(two.id)
    assert published.published_at is not None
    assert await store.publish(two.id) == published
    assert await store.published_version(acme.id, "support") == published
    assert [(row.version, row.status) for row in await store.versions(acme.id, "support")] == [
        (2, "published"),
        (1, "archived"),
    ]


async def test_an_archived_version_may_return(store: Store, acme: OrganizationRow) -> None:
    one, two = (
        await store.save_draft(acme.id, "support", CONFIG),
        await store.save_draft(acme.id, "support", {"agents": []}),
    )
    for version in (one, two, one):
        await store.publish(version.id)
    assert (await store.published_version(acme.id, one.workflow_id)).version == 1


async def test_workflows_are_listed_with_their_versions(store: Store, acme: OrganizationRow) -> None:
    await store.save_draft(acme.id, "b", CONFIG)
    published = await store.publish((await store.save_draft(acme.id, "a", CONFIG)).id)
    await store.save_draft(acme.id, "a", {})
    listed = await store.workflows(acme.id)
    assert [(row.name, row.latest_version, row.published_version) for row in listed] == [("a", 2, 1), ("b", 1, None)]
    assert listed[0].id == published.workflow_id
    assert await store.workflows((await store.ensure_organization("Other")).id) == []


async def test_what_is_not_there_is_named_with_what_there_is(store: Store, acme: OrganizationRow) -> None:
    draft = await store.save_draft(acme.id, "support", CONFIG)
    other = await store.ensure_organization("Other")
    with pytest.raises(NotFound, match=r"(?s)no workflow 'sales'.*support"):
        await store.versions(acme.id, "sales")
    with pytest.raises(NotFound, match=r"(?s)no published version.*1"):
        await store.published_version(acme.id, "support")
    for unknown in (str(uuid4()), "no uuid", ""):
        with pytest.raises(NotFound):
            await store.version(unknown)
        with pytest.raises(NotFound):
            await store.publish(unknown)
    with pytest.raises(NotFound):
        await store.versions(other.id, draft.workflow_id)


async def test_a_workflow_of_no_organization_is_refused(store: Store) -> None:
    with pytest.raises(PatchbayError):
        await store.save_draft(str(uuid4()), "support", CONFIG)


async def test_variables_are_set_replaced_and_removed(store: Store, acme: OrganizationRow) -> None:
    await store.set_variable(acme.id, "HOURS", "9-17", is_secret=False)
    await store.set_variable(acme.id, "KEY", "token", is_secret=True)
    await store.set_variable(acme.id, "HOURS", "", is_secret=False)
    assert [(row.name, row.value, row.is_secret) for row in await store.variables(acme.id)] == [
        ("HOURS", "", False),
        ("KEY", "token", True),
    ]
    await store.set_variable(acme.id, "KEY", "open", is_secret=False)
    await store.remove_variable(acme.id, "HOURS")
    assert [(row.name, row.value, row.is_secret) for row in await store.variables(acme.id)] == [("KEY", "open", False)]
    with pytest.raises(NotFound, match=r"(?s)HOURS.*KEY"):
        await store.remove_variable(acme.id, "HOURS")
