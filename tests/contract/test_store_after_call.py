"""What every store promises of the work after calls: remembered with the call's end, held by one reader at a time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from runtime.aftercall.loading import VersionLoader
from runtime.aftercall.reader import AfterCallReader
from runtime.errors import NotFound, StoreUnreachable
from runtime.session.outbox_ports import AfterCallRow, DeliveryRow
from runtime.session.ports import CallRow, OrganizationRow, Store
from tests.contract.conftest import Subject
from tests.contract.rows import CONFIG, START, a_call
from tests.runtime.aftercall.conftest import FakeSender, ManualClock

ENDED = START + timedelta(minutes=5)
NOW = ENDED + timedelta(minutes=1)
UNTIL = NOW + timedelta(seconds=90)
LATER = UNTIL + timedelta(seconds=1)
HOOK = {"tool_type": "webhook", "config": {"url": "https://crm.example/hook", "secret": None}}


async def end(store: Store, owner: OrganizationRow, session: Any, *, minutes: int = 0) -> CallRow:
    version = await store.save_draft(owner.id, "support", {**CONFIG, "session": session})
    call = a_call(owner.id, workflow_version_id=version.id)
    await store.open_call(call)
    ended = ENDED + timedelta(minutes=minutes)
    await store.close_call(replace(call, ended_at=ended, status="completed", end_reason="caller_hangup"))
    return await store.call(call.id)


async def held(store: Store, **wanted: Any) -> AfterCallRow:
    row = await store.claim_after_call(NOW, UNTIL, **wanted)
    assert row is not None
    return row


async def delivered_to(store: Store, owner: OrganizationRow, *names: str) -> list[DeliveryRow]:
    """Return the deliveries of a call that ended."""
    call = await end(store, owner, {"on_end": [HOOK]})
    await store.finish_after_call(await held(store, session_id=call.id), names or ("CRM",), NOW)
    return await store.deliveries(owner.id, session_id=call.id)


@pytest.mark.parametrize(
    ("session", "is_remembered"),
    [
        ({"on_end": [HOOK]}, True),
        ({"on_end": [{"tool_id": "shared"}]}, True),
        ({"analysis": {}}, True),
        ({"analysis": {"summary": True}, "on_end": []}, True),
        ({"on_end": []}, False),
        ({"analysis": None}, False),
        ({"on_end": "x", "analysis": [1]}, False),
        ({"on_end": {"a": 1}}, False),
        ({}, False),
        (None, False),
        ("text", False),
        ([1], False),
    ],
)
async def test_a_call_is_remembered_where_something_is_to_be_done(
    store: Store, acme: OrganizationRow, session: Any, is_remembered: bool
) -> None:
    call = await end(store, acme, session)
    assert call.status == "completed"
    row = await store.claim_after_call(NOW, UNTIL)
    assert (row is not None) is is_remembered
    if row is not None:
        assert row == AfterCallRow(call.id, acme.id, "pending", 1, due_at=ENDED, leased_until=UNTIL)


async def test_a_call_without_a_version_ends_as_well(store: Store, acme: OrganizationRow) -> None:
    call = a_call(acme.id)
    await store.open_call(call)
    await store.close_call(replace(call, ended_at=ENDED, status="completed"))
    assert await store.claim_after_call(NOW, UNTIL) is None


async def test_a_call_that_ends_twice_is_remembered_once(store: Store, acme: OrganizationRow) -> None:
    call = await end(store, acme, {"on_end": [HOOK]})
    await store.finish_after_call(await held(store), ["CRM"], NOW)
    await store.close_call(call)
    assert await store.claim_after_call(NOW, UNTIL) is None


async def test_one_reader_at_a_time_holds_a_call(store: Store, acme: OrganizationRow) -> None:
    calls = [await end(store, acme, {"on_end": [HOOK]}, minutes=-index) for index in range(3)]
    taken = await asyncio.gather(*(store.claim_after_call(NOW, UNTIL) for _ in range(6)))
    assert sorted(row.session_id for row in taken if row) == sorted(call.id for call in calls)
    assert await store.claim_after_call(NOW, UNTIL) is None


async def test_the_longest_due_is_first(store: Store, acme: OrganizationRow) -> None:
    calls = [await end(store, acme, {"on_end": [HOOK]}, minutes=minutes) for minutes in (-2, -3, -1)]
    order = [(await held(store)).session_id for _ in calls]
    assert order == [calls[1].id, calls[0].id, calls[2].id]


async def test_nothing_is_due_before_its_time_but_for_who_names_it(store: Store, acme: OrganizationRow) -> None:
    call = await end(store, acme, {"on_end": [HOOK]}, minutes=30)
    assert await store.claim_after_call(NOW, UNTIL) is None
    assert (await held(store, session_id=call.id)).session_id == call.id
    assert await store.claim_after_call(NOW, UNTIL, session_id=call.id) is None
    assert await store.claim_after_call(NOW, UNTIL, session_id="no id") is None


async def test_a_lease_that_is_over_is_anybodys(store: Store, acme: OrganizationRow) -> None:
    await end(store, acme, {"on_end": [HOOK]})
    first = await held(store)
    second = await store.claim_after_call(LATER, LATER + timedelta(seconds=90))
    assert second is not None
    assert second.attempts == 2
    await store.finish_after_call(first, ["late"], LATER)
    await store.postpone_after_call(replace(first, status="failed"))
    assert await store.deliveries(acme.id) == []
    await store.finish_after_call(second, ["CRM"], LATER)
    assert [row.name for row in await store.deliveries(acme.id)] == ["CRM"]


async def test_a_call_is_postponed_or_failed(store: Store, acme: OrganizationRow) -> None:
    await end(store, acme, {"on_end": [HOOK]})
    await store.postpone_after_call(replace(await held(store), due_at=LATER, last_error="why"))
    assert await store.claim_after_call(NOW, UNTIL) is None
    again = await store.claim_after_call(LATER, LATER + timedelta(seconds=90))
    assert again is not None
    assert (again.attempts, again.last_error) == (2, "why")
    await store.postpone_after_call(replace(again, status="failed"))
    far = LATER + timedelta(days=9)
    assert await store.claim_after_call(far, far) is None


async def test_deliveries_are_made_once(store: Store, acme: OrganizationRow) -> None:
    one, two = await delivered_to(store, acme, "CRM", "Billing")
    assert (one.name, one.tool_index, two.name, two.tool_index) == ("CRM", 0, "Billing", 1)
    assert one == DeliveryRow(one.id, one.session_id, acme.id, 0, "CRM", "pending", 0, due_at=NOW, created_at=NOW)
    assert await store.delivery(one.id) == one


async def test_one_reader_at_a_time_holds_a_delivery(store: Store, acme: OrganizationRow) -> None:
    rows = await delivered_to(store, acme, "a", "b", "c")
    taken = await asyncio.gather(*(store.claim_delivery(NOW, UNTIL) for _ in range(6)))
    found = [row for row in taken if row is not None]
    assert sorted(row.id for row in found) == sorted(row.id for row in rows)
    assert {(row.attempts, row.last_attempt_at, row.leased_until) for row in found} == {(1, NOW, UNTIL)}


async def test_deliveries_of_busy_organizations_are_left(store: Store, acme: OrganizationRow) -> None:
    other = await store.ensure_organization("Other")
    await delivered_to(store, acme)
    (row,) = await delivered_to(store, other)
    found = await store.claim_delivery(NOW, UNTIL, busy=[acme.id])
    assert found is not None
    assert found.id == row.id
    assert await store.claim_delivery(NOW, UNTIL, busy=[acme.id, other.id]) is None


async def test_a_delivery_is_settled_by_who_holds_it(store: Store, acme: OrganizationRow) -> None:
    (row,) = await delivered_to(store, acme)
    first = await store.claim_delivery(NOW, UNTIL)
    second = await store.claim_delivery(LATER, LATER + timedelta(seconds=90))
    assert first is not None
    assert second is not None
    await store.settle_delivery(replace(first, status="dead", last_status=500, last_error="http_500"))
    assert await store.delivery(row.id) == second
    await store.settle_delivery(replace(second, due_at=LATER, last_status=503, last_error="http_503"))
    left = await store.delivery(row.id)
    assert (left.status, left.due_at, left.last_status, left.last_error) == ("pending", LATER, 503, "http_503")
    assert left.leased_until is None


async def test_what_was_delivered_is_delivered_whoever_says_so(store: Store, acme: OrganizationRow) -> None:
    (row,) = await delivered_to(store, acme)
    late = await store.claim_delivery(NOW, UNTIL)
    assert late is not None
    await store.claim_delivery(LATER, LATER + timedelta(seconds=90))
    await store.settle_delivery(replace(late, status="delivered", delivered_at=LATER, last_status=204))
    left = await store.delivery(row.id)
    assert (left.status, left.delivered_at, left.last_status) == ("delivered", LATER, 204)
    far = LATER + timedelta(days=9)
    assert await store.claim_delivery(far, far) is None


async def test_a_delivery_is_revived_unless_it_is_being_sent(store: Store, acme: OrganizationRow) -> None:
    (row,) = await delivered_to(store, acme)
    first = await store.claim_delivery(NOW, UNTIL)
    assert first is not None
    await store.revive_delivery(row.id, NOW)
    assert await store.delivery(row.id) == first
    await store.settle_delivery(replace(first, status="dead", last_error="http_410", last_status=410))
    await store.revive_delivery(row.id, LATER)
    again = await store.claim_delivery(LATER, LATER + timedelta(seconds=90), delivery_id=row.id)
    assert again is not None
    assert (again.id, again.attempts, again.last_error) == (row.id, 1, "http_410")
    await store.revive_delivery(str(uuid4()), LATER)
    assert await store.claim_delivery(LATER, LATER, delivery_id="no id") is None


async def test_deliveries_are_listed_newest_first(store: Store, acme: OrganizationRow) -> None:
    other = await store.ensure_organization("Other")
    await delivered_to(store, other)
    one, two = await delivered_to(store, acme, "CRM", "Billing")
    claimed = await store.claim_delivery(NOW, UNTIL, delivery_id=two.id)
    assert claimed is not None
    await store.settle_delivery(replace(claimed, status="dead"))
    assert [row.id for row in await store.deliveries(acme.id)] == [one.id, two.id]
    assert [row.id for row in await store.deliveries(acme.id, status="dead")] == [two.id]
    assert [row.id for row in await store.deliveries(acme.id, limit=1)] == [one.id]
    assert await store.deliveries(acme.id, session_id="no id") == []
    assert await store.deliveries(acme.id, session_id=str(uuid4())) == []


@pytest.mark.parametrize("delivery_id", ["7f3a", "9d5c7c0e-3c5b-4f8e-8b62-7f4f6f0c1a11"])
async def test_an_unknown_delivery_is_not_found(store: Store, delivery_id: str) -> None:
    with pytest.raises(NotFound, match="webhook delivery"):
        await store.delivery(delivery_id)


async def test_readers_share_the_work_and_send_each_once(store: Store, acme: OrganizationRow) -> None:
    for index in range(6):
        await end(store, acme, {"on_end": [HOOK, HOOK]}, minutes=-index)
    sender, clock = FakeSender(), ManualClock()
    clock.now = LATER
    readers = [AfterCallReader(store, VersionLoader(store).load, sender, None, clock) for _ in range(3)]
    await asyncio.gather(*(reader.run_due() for reader in readers))
    rows = await store.deliveries(acme.id)
    assert [row.status for row in rows] == ["delivered"] * 12
    assert sorted(delivery.id for delivery, _, _ in sender.attempts) == sorted(row.id for row in rows)


async def test_what_a_dead_reader_held_is_sent_again_under_its_id(store: Store, acme: OrganizationRow) -> None:
    (row,) = await delivered_to(store, acme)
    assert await store.claim_delivery(NOW, UNTIL) is not None  # and it dies
    sender, clock = FakeSender(), ManualClock()
    reader = AfterCallReader(store, VersionLoader(store).load, sender, None, clock)
    clock.now = NOW
    await reader.run_due()
    assert sender.attempts == []
    clock.now = LATER
    await reader.run_due()
    assert [(delivery.id, delivery.attempt) for delivery, _, _ in sender.attempts] == [(row.id, 2)]
    assert (await store.delivery(row.id)).status == "delivered"


async def test_a_store_that_is_away_says_so(subject: Subject, acme: OrganizationRow) -> None:
    store = subject.store
    (row,) = await delivered_to(store, acme)
    call = AfterCallRow("7c9e6679-7425-40de-944b-e07fc1f90ae7", acme.id, "pending", 1, due_at=NOW, leased_until=UNTIL)
    await subject.take_away()
    for asked in (
        store.claim_after_call(NOW, UNTIL),
        store.finish_after_call(call, [], NOW),
        store.postpone_after_call(call),
        store.claim_delivery(NOW, UNTIL),
        store.settle_delivery(row),
        store.revive_delivery(row.id, NOW),
        store.delivery(row.id),
        store.deliveries(acme.id),
    ):
        with pytest.raises(StoreUnreachable):
            await asked
