"""The test sessions of a process: bounds, ends, what follows a call, and leaving in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from api.problems import Problem
from api.testing.chat import play
from api.testing.sessions import TestBounds, TestCall, TestOrder, TestSessions, open_test_sessions
from runtime.errors import StoreUnreachable
from runtime.harness.script import Say
from runtime.session.ports import TestSessionRow, VersionRow, WorkspaceVariableRow
from runtime.settings import Settings
from runtime.store.memory import MemoryStore
from runtime.store.secrets import Keyring
from runtime.tasks import spawn
from tests.calls.runs import read
from tests.worker.waiting import until

Json = Any
Opened = Callable[..., AbstractAsyncContextManager[TestSessions]]


class Store(MemoryStore):
    """A store that can be away for tests alone, and that can keep who reads variables waiting."""

    no_tests = False

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def variables(self, organization_id: str) -> list[WorkspaceVariableRow]:
        self.asked.set()
        await self.gate.wait()
        return await super().variables(organization_id)

    async def save_test(self, row: TestSessionRow) -> None:
        if self.no_tests:
            raise StoreUnreachable("The store is away.")
        await super().save_test(row)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def version(store: Store) -> VersionRow:
    return await stored(store, read("front_desk"))


@pytest.fixture
def opened(store: Store, tmp_path: Path) -> Opened:
    settings = Settings.model_validate({"PATCHBAY_HOME": tmp_path, "DATABASE_URL": "postgresql://127.0.0.1:1/none"})

    def of(**bounds: float) -> AbstractAsyncContextManager[TestSessions]:
        made = replace(TestBounds(), **bounds)  # type: ignore[arg-type]
        return open_test_sessions(settings, store, Keyring(["b" * 43 + "="]), bounds=made, offline=True)

    return of


@pytest.fixture
async def tests(opened: Opened) -> AsyncIterator[TestSessions]:
    async with opened() as sessions:
        yield sessions


async def stored(store: Store, config: dict[str, Json], organization: str = "acme") -> VersionRow:
    owner = await store.ensure_organization(organization)
    return await store.save_draft(owner.id, "desk", config)


def order(version: VersionRow, **more: Json) -> TestOrder:
    return TestOrder(version, version.organization_id, "chat_test", **more)


async def begun(tests: TestSessions, version: VersionRow, *said: str, **more: Json) -> TestCall:
    call = await tests.open(order(version, **more))
    await play(tests, call, [Say(text) for text in said], leave=False).answer()
    return call


async def ended(store: Store, call: TestCall) -> tuple[str, str | None]:
    async with asyncio.timeout(10):
        await call.closed.wait()
    row = await store.call(call.session_id)
    return row.status, row.end_reason


async def test_a_call_is_there_from_its_opening_to_its_end(
    tests: TestSessions, store: Store, version: VersionRow
) -> None:
    call = await tests.open(order(version))
    assert tests.get(call.test_session_id) is call
    assert (await store.call(call.session_id)).status == "active"
    assert [row.id for row in await store.tests(version.organization_id)] == [call.test_session_id]
    heard: list[str] = []
    stop = call.subscribe(lambda event: heard.append(event.event_type))
    await play(tests, call, [], leave=False).answer()
    stop()
    stop()
    await call.aclose()
    await call.aclose()
    assert heard == [event.event_type for event in call.events][: len(heard)]
    assert "call_ended" not in heard
    assert tests.get(call.test_session_id) is None
    assert await ended(store, call) == ("completed", "caller_hangup")


async def test_a_call_that_is_left_alone_ends(opened: Opened, store: Store, version: VersionRow) -> None:
    async with opened(idle_s=0.2) as tests:
        call = await begun(tests, version)
        with call.in_use():
            later = await begun(tests, version)
            assert await ended(store, later) == ("completed", "inactivity")
            assert not call.ended
        assert await ended(store, call) == ("completed", "inactivity")
        assert tests.running(version.organization_id) == 0


async def test_a_call_ends_at_the_age_of_an_hour_even_in_use(opened: Opened, store: Store, version: VersionRow) -> None:
    async with opened(life_s=0.3) as tests:
        call = await begun(tests, version)
        with call.in_use():
            async with asyncio.timeout(5):
                await call.live.call.ended()
        assert await ended(store, call) == ("completed", "max_duration")


async def test_there_are_so_many_at_once_of_an_organization_and_of_all(
    opened: Opened, store: Store, version: VersionRow
) -> None:
    others = [await stored(store, read("front_desk"), name) for name in ("umbrella", "initech")]
    async with opened(of_organization=2, of_process=3) as tests:
        first = await tests.open(order(version))
        await tests.open(order(version))
        with pytest.raises(Problem) as refused:
            await tests.open(order(version))
        assert (refused.value.status, refused.value.code) == (429, "too_many_requests")
        assert int(refused.value.headers["Retry-After"]) > 0
        await tests.open(order(others[0]))
        with pytest.raises(Problem) as refused:
            await tests.open(order(others[1]))
        assert refused.value.status == 429
        await first.aclose()
        await until(lambda: tests.running(version.organization_id) == 1)
        await tests.open(order(others[1]))


async def test_what_cannot_be_opened_takes_no_place(tests: TestSessions, store: Store, version: VersionRow) -> None:
    store.no_tests = True
    with pytest.raises(StoreUnreachable):
        await tests.open(order(version))
    store.no_tests = False
    assert tests.running(version.organization_id) == 0
    assert {row.status for row in await store.calls(version.organization_id)} == {"dropped"}


async def test_who_gives_up_while_it_opens_leaves_nothing(
    tests: TestSessions, store: Store, version: VersionRow
) -> None:
    store.gate.clear()
    opening = spawn(tests.open(order(version)), name="opening")
    await store.asked.wait()
    assert tests.running(version.organization_id) == 1
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(lambda: tests.running(version.organization_id) == 0)
    assert all(row.status == "dropped" for row in await store.calls(version.organization_id))


async def test_the_store_may_be_away_while_a_call_runs(tests: TestSessions, store: Store, version: VersionRow) -> None:
    call = await begun(tests, version)
    store.no_tests = True
    await play(tests, call, [Say("Hello")], leave=False).answer()
    store.no_tests = False
    await call.aclose()
    transcripts = [row.transcript for row in await store.tests(version.organization_id)]
    assert [turn["role"] for turn in transcripts[0]] == ["agent", "user", "agent"]


async def test_who_leaves_ends_all_calls_in_order(opened: Opened, store: Store, version: VersionRow) -> None:
    async with AsyncExitStack() as stack:
        tests = await stack.enter_async_context(opened())
        calls = [await begun(tests, version) for _ in range(3)]
        turn = play(tests, calls[0], [Say("there is a mistake in my bill")], leave=False)
    assert [await ended(store, call) for call in calls] == [("dropped", "drained")] * 3
    assert (await turn.answer()).end_reason == "drained"
    for call in calls:
        assert [event.event_type for event in await store.events(call.session_id)][-1] == "call_ended"
    with pytest.raises(Problem) as refused:
        await tests.open(order(version))
    assert refused.value.status == 503


async def test_webhooks_follow_a_test_as_any_call(opened: Opened, store: Store) -> None:
    config = read("front_desk")
    config["session"]["on_end"] = [
        {
            "tool_type": "webhook",
            "display_name": "CRM",
            "config": {"url": "https://crm.example.com/hook", "secret": "{{ secrets.CRM }}"},
        }
    ]
    version = await stored(store, config)
    async with opened() as tests:
        call = await begun(tests, version, mocks={"tools": {"webhook": [{"result": {}}]}})
        await call.aclose()
    assert [row.status for row in await store.deliveries(version.organization_id)] == ["delivered"]


async def test_log_lines_of_a_call_name_the_request_that_began_it(tests: TestSessions, version: VersionRow) -> None:
    call = await tests.open(order(version, request_id="first"))
    seen = set()
    call.subscribe(lambda _: seen.add(structlog.contextvars.get_contextvars().get("request_id")))
    with structlog.contextvars.bound_contextvars(request_id="another"):
        await play(tests, call, [Say("Hello")], leave=True).answer()
    assert seen == {"first"}
    assert call.events[0].payload["request_id"] == "first"
