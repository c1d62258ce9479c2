"""What every store promises of calls, their events, their secrets, and of being away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from runtime.errors import NotFound, PatchbayError, StoreUnreachable
from runtime.session.ports import Limits, OrganizationRow, Store, TestSessionRow
from tests.contract.conftest import Subject
from tests.contract.rows import CONFIG, START, a_call, some_events


async def test_a_call_comes_back_as_it_was_opened(store: Store, acme: OrganizationRow) -> None:
    version = await store.save_draft(acme.id, "support", CONFIG)
    row = a_call(
        acme.id,
        workflow_version_id=version.id,
        external_session_id="x",
        from_number="+491",
        to_number="+492",
        worker_id="w",
        runtime_version="0.1.0",
        room="r",
        answered_at=START,
        variables={"name": "Zoë", "amount": {"amount": "12.50", "currency": "EUR"}},
    )
    await store.open_call(row)
    await store.open_call(replace(row, room="another"))
    assert await store.call(row.id) == row


async def test_calls_are_listed_newest_first(store: Store, acme: OrganizationRow) -> None:
    for minute in (1, 3, 2):
        await store.open_call(a_call(acme.id, started_at=START + timedelta(minutes=minute), is_test=minute == 3))
    assert [row.started_at.minute - START.minute for row in await store.calls(acme.id)] == [3, 2, 1]
    assert [row.started_at.minute - START.minute for row in await store.calls(acme.id, tests=False, limit=1)] == [2]


async def test_a_batch_of_many_calls_keeps_each_in_order(store: Store, acme: OrganizationRow) -> None:
    one, two = a_call(acme.id), a_call(acme.id)
    await store.open_call(one)
    await store.open_call(two)
    await store.append([*some_events(one, 2, 1), *some_events(two, 1)])
    await store.append([])
    assert await store.events(one.id) == some_events(one, 1, 2)
    assert await store.events(two.id) == some_events(two, 1)


async def test_a_batch_sent_twice_leaves_one_row(store: Store, acme: OrganizationRow) -> None:
    call = a_call(acme.id)
    await store.open_call(call)
    await asyncio.gather(*(store.append(some_events(call, 1, 2, secret="first")) for _ in range(3)))
    await store.append([replace(event, event_type="other", secret="second") for event in some_events(call, 2, 3)])
    assert [(e.seq, e.event_type, e.secret) for e in await store.events(call.id)] == [
        (1, "user_turn", "first"),
        (2, "user_turn", "first"),
        (3, "other", "second"),
    ]


async def test_a_batch_is_kept_whole_or_not_at_all(store: Store, acme: OrganizationRow) -> None:
    call = a_call(acme.id)
    await store.open_call(call)
    with pytest.raises(PatchbayError) as caught:
        await store.append([*some_events(call, 1, secret="s"), *some_events(a_call(acme.id), 1)])
    assert not isinstance(caught.value, StoreUnreachable)
    assert await store.events(call.id) == []


async def test_secrets_go_with_the_end_of_the_call(store: Store, acme: OrganizationRow) -> None:
    call, other = a_call(acme.id), a_call(acme.id)
    for row in (call, other):
        await store.open_call(row)
        await store.append(some_events(row, 1, secret="token"))
    ended = replace(
        call,
        ended_at=START,
        status="completed",
        end_reason="caller_hangup",
        cost=0.25,
        variables={"a": 1},
        answered_at=START,
    )
    await store.close_call(ended)
    await store.close_call(ended)
    await store.append(some_events(call, 2, secret="late"))
    assert await store.call(call.id) == ended
    assert [event.secret for event in await store.events(call.id)] == [None, None]
    assert [event.secret for event in await store.events(other.id)] == ["token"]


async def test_a_secret_sent_while_the_call_ends_does_not_stay(store: Store, acme: OrganizationRow) -> None:
    call = a_call(acme.id)
    await store.open_call(call)
    appends = (store.append(some_events(call, seq, secret="token")) for seq in range(1, 9))
    await asyncio.gather(*appends, store.close_call(replace(call, ended_at=START, status="dropped")))
    assert {event.secret for event in await store.events(call.id)} == {None}


async def test_tests_are_kept_and_replaced(store: Store, acme: OrganizationRow) -> None:
    version = await store.save_draft(acme.id, "support", CONFIG)
    call = a_call(acme.id)
    await store.open_call(call)
    line = {"role": "user", "agent": None, "text": "hello", "turn": 1}
    older = TestSessionRow(str(uuid4()), acme.id, version.id, None, [], START)
    newer = TestSessionRow(str(uuid4()), acme.id, version.id, call.id, [line], START + timedelta(seconds=1))
    for row in (older, newer, replace(older, transcript=[line])):
        await store.save_test(row)
    assert await store.tests(acme.id) == [newer, replace(older, transcript=[line])]
    assert await store.tests(acme.id, limit=1) == [newer]


@pytest.mark.parametrize("unknown", [str(uuid4()), "no uuid"], ids=["unknown", "no_uuid"])
async def test_an_unknown_session_is_not_found(store: Store, acme: OrganizationRow, unknown: str) -> None:
    for read in (store.call, store.events):
        with pytest.raises(NotFound, match="session"):
            await read(unknown)
    with pytest.raises(NotFound):
        await store.close_call(a_call(acme.id, id=unknown))


USES: dict[str, Callable[[Store, str], Awaitable[Any]]] = {
    "ensure_organization": lambda store, _: store.ensure_organization("Acme"),
    "save_draft": lambda store, acme: store.save_draft(acme, "w", CONFIG),
    "publish": lambda store, acme: store.publish(acme),
    "version": lambda store, acme: store.version(acme),
    "published_version": lambda store, acme: store.published_version(acme, "w"),
    "workflows": lambda store, acme: store.workflows(acme),
    "replace_secret": lambda store, acme: store.replace_secret(acme, "KEY", "old", "new"),
    "versions": lambda store, acme: store.versions(acme, "w"),
    "set_variable": lambda store, acme: store.set_variable(acme, "A", "1", is_secret=False),
    "remove_variable": lambda store, acme: store.remove_variable(acme, "A"),
    "variables": lambda store, acme: store.variables(acme),
    "numbers": lambda store, acme: store.numbers(acme),
    "set_number": lambda store, acme: store.set_number(acme, "+15550100", "w"),
    "remove_number": lambda store, acme: store.remove_number(acme, "+15550100"),
    "set_default_workflow": lambda store, acme: store.set_default_workflow(acme, None),
    "set_limits": lambda store, acme: store.set_limits(acme, Limits()),
    "load": lambda store, acme: store.load(acme),
    "directory": lambda store, _: store.directory(),
    "listen": lambda store, _: listened(store),
    "open_call": lambda store, acme: store.open_call(a_call(acme)),
    "append": lambda store, acme: store.append(some_events(a_call(acme), 1)),
    "close_call": lambda store, acme: store.close_call(a_call(acme)),
    "save_analysis": lambda store, acme: store.save_analysis(acme, {}),
    "call": lambda store, acme: store.call(acme),
    "calls": lambda store, acme: store.calls(acme),
    "events": lambda store, acme: store.events(acme),
    "save_test": lambda store, acme: store.save_test(TestSessionRow(acme, acme, acme, None, [], START)),
    "tests": lambda store, acme: store.tests(acme),
}


async def listened(store: Store) -> None:
    async with store.listen(lambda _what, _which: None):
        pass


async def test_every_method_says_that_the_store_is_away(subject: Subject, acme: OrganizationRow) -> None:
    await subject.take_away()

    async def complaint(use: Callable[[Store, str], Awaitable[Any]]) -> type[BaseException] | None:
        try:
            await use(subject.store, acme.id)
        except PatchbayError as error:
            return type(error)
        return None

    complaints = await asyncio.gather(*map(complaint, USES.values()))
    assert dict(zip(USES, complaints, strict=True)) == dict.fromkeys(USES, StoreUnreachable)
    declared = {name for name in vars(Store) if not name.startswith("_")}
    assert declared - {"aclose"} == set(USES), "a method was added to Store: say here how it is used"


async def test_closing_twice_is_closing_once(store: Store) -> None:
    await store.aclose()
    await store.aclose()
