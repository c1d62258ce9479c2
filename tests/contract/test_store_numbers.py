"""What every store promises of numbers, default workflows, limits, what is used up, and of telling changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from runtime.errors import NotFound, PatchbayError
from runtime.session.ports import Limits, NotNotified, NumberRow, OrganizationRow, Store, VersionRow
from tests.contract.conftest import Subject
from tests.contract.rows import CONFIG, a_call

NUMBER, OTHER = "+15550100", "+4930123456"


@pytest.fixture
async def support(store: Store, acme: OrganizationRow) -> VersionRow:
    return await store.save_draft(acme.id, "support", CONFIG)


async def test_numbers_are_mapped_moved_and_removed(store: Store, acme: OrganizationRow, support: VersionRow) -> None:
    sales = await store.save_draft(acme.id, "sales", CONFIG)
    row = await store.set_number(acme.id, NUMBER, "support", description="Hotline")
    assert row == NumberRow(NUMBER, acme.id, support.workflow_id, "support", is_default=False, description="Hotline")
    moved = await store.set_number(acme.id, NUMBER, sales.workflow_id)
    assert moved == replace(row, workflow_id=sales.workflow_id, workflow_name="sales")
    other = await store.set_number(acme.id, OTHER, "support")
    assert await store.numbers(acme.id) == [moved, other]
    await store.remove_number(acme.id, OTHER)
    assert await store.numbers(acme.id) == [moved]


async def test_a_number_that_is_none_and_what_is_not_there_are_named(
    store: Store, acme: OrganizationRow, support: VersionRow
) -> None:
    await store.set_number(acme.id, NUMBER, "support")
    for wrong in ("15550100", "+0155", "+1 555", ""):
        with pytest.raises(PatchbayError, match="does not take this"):
            await store.set_number(acme.id, wrong, "support")
    with pytest.raises(NotFound, match=r"(?s)no workflow 'sales'.*support"):
        await store.set_number(acme.id, NUMBER, "sales")
    with pytest.raises(NotFound, match=r"(?s)no workflow 'sales'.*support"):
        await store.set_default_workflow(acme.id, "sales")
    with pytest.raises(NotFound, match=rf"(?s)no number '\{OTHER}'.*\{NUMBER}"):
        await store.remove_number(acme.id, OTHER)
    for act in (store.set_default_workflow(str(uuid4()), None), store.set_limits(str(uuid4()), Limits())):
        with pytest.raises(NotFound, match="no organization"):
            await act


async def test_another_organizations_workflow_answers_nothing_here(store: Store, support: VersionRow) -> None:
    other = await store.ensure_organization("Other")
    with pytest.raises(NotFound):
        await store.set_number(other.id, NUMBER, support.workflow_id)
    with pytest.raises(NotFound):
        await store.set_default_workflow(other.id, support.workflow_id)


async def test_the_directory_shows_all_organizations_at_once(
    store: Store, acme: OrganizationRow, support: VersionRow
) -> None:
    other = await store.ensure_organization("Other")
    sales = await store.publish((await store.save_draft(other.id, "sales", CONFIG)).id)
    ours = await store.set_number(acme.id, NUMBER, "support")
    theirs = await store.set_number(other.id, NUMBER, "sales")
    limits = Limits(3, 60, ("+49", "+1"))
    await store.set_limits(acme.id, limits)
    await store.set_default_workflow(acme.id, "support")
    found = await store.directory()
    assert {row.organization_id: row for row in found.numbers[NUMBER]} == {acme.id: ours, other.id: theirs}
    assert {key: row.version_id for key, row in found.published.items()} == {sales.workflow_id: sales.id}
    published = found.published[sales.workflow_id]
    assert (published.workflow_name, published.organization_id, published.version) == ("sales", other.id, 1)
    tenant = found.organizations[acme.id]
    assert (tenant.name, tenant.default_workflow_id, tenant.default_workflow_name, tenant.limits) == (
        ("Acme", support.workflow_id, "support", limits)
    )
    assert found.organizations[other.id].limits == Limits()
    await store.set_default_workflow(acme.id, None)
    await store.set_limits(acme.id, Limits())
    tenant = (await store.directory()).organizations[acme.id]
    assert (tenant.default_workflow_id, tenant.default_workflow_name, tenant.limits) == (None, None, Limits())


@pytest.mark.parametrize(
    "limits", [Limits(-1), Limits(None, -1), Limits(dial_prefixes=("49",)), Limits(dial_prefixes=("+49,",))]
)
async def test_limits_that_are_none_are_refused(store: Store, acme: OrganizationRow, limits: Limits) -> None:
    with pytest.raises(PatchbayError, match="does not take this"):
        await store.set_limits(acme.id, limits)


async def test_the_load_counts_real_calls_of_today(store: Store, acme: OrganizationRow) -> None:
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    today = (now - midnight) / 2  # long ago enough to be today, whatever the time is
    began = now - today
    running = min(today, timedelta(minutes=20))
    other = await store.ensure_organization("Other")
    calls: list[dict[str, Any]] = [
        {"started_at": now - running},
        {"started_at": now - timedelta(minutes=71)},  # longer than its workflow lets it: lost, not running
        {"started_at": now - timedelta(hours=25)},
        {"started_at": now - running, "worker_id": None},  # an apology
        {"started_at": began, "is_test": True},
        {"started_at": began, "answered_at": began + today / 2, "ended_at": now},
        {"started_at": midnight - timedelta(minutes=3), "ended_at": midnight - timedelta(minutes=1)},
    ]
    for fields in calls:
        await store.open_call(a_call(acme.id, **{"is_test": False, "worker_id": "w-1", **fields}))
    load = await store.load(acme.id)
    assert load.active_calls == 1
    expected = running + today / 2
    assert load.minutes_today == pytest.approx(expected.total_seconds() / 60, abs=0.2)
    assert await store.load(other.id) == type(load)(0, 0.0)


@asynccontextmanager
async def heard(store: Store) -> AsyncIterator[Callable[[], Any]]:
    """Listen, and yield what waits for the next thing that is told."""
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    async with store.listen(lambda what, which: told.put_nowait((what, which))):
        yield lambda: asyncio.wait_for(told.get(), 10)
    await store.ensure_organization("Unheard")
    assert told.empty()


async def test_changes_are_told(subject: Subject, acme: OrganizationRow, support: VersionRow) -> None:
    store = subject.store
    if not subject.tells:
        with pytest.raises(NotNotified, match=r"(?s)tells of no change.*DATABASE_URL"):
            await store.listen(lambda _what, _which: None).__aenter__()
        return
    async with heard(store) as next_told:
        await store.publish(support.id)
        assert await next_told() == ("workflow_version", support.id)
        await store.set_number(acme.id, NUMBER, "support")
        assert await next_told() == ("phone_number", acme.id)
        await store.remove_number(acme.id, NUMBER)
        assert await next_told() == ("phone_number", acme.id)
        await store.set_default_workflow(acme.id, "support")
        assert await next_told() == ("organization", acme.id)
        await store.set_limits(acme.id, Limits(1))
        assert await next_told() == ("organization", acme.id)
        await store.set_variable(acme.id, "KEY", "1", is_secret=False)
        assert await next_told() == ("workspace_variable", acme.id)
        await store.remove_variable(acme.id, "KEY")
        assert await next_told() == ("workspace_variable", acme.id)
        newer = await store.publish((await store.save_draft(acme.id, "support", {})).id)
        assert [await next_told() for _ in range(2)] == [("workflow", acme.id), ("workflow_version", newer.id)]
        made = await store.ensure_organization("Another")
        assert await next_told() == ("organization", made.id)
