"""Who answers a call: by number, workflow or version; from memory, fresh within a second, and while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from runtime.errors import StoreUnreachable
from runtime.session.ports import Limits, NotNotified, Store, VersionRow
from runtime.store.memory import MemoryStore
from runtime.store.postgres import PostgresStore
from runtime.tasks import spawn
from tests.contract.conftest import databases
from tests.fakes.databases import Databases
from tests.fakes.pgbouncer import PGBOUNCER, transaction_pooler
from tests.fakes.workflows import front_desk
from worker import directory as module
from worker import versions as compiling
from worker.directory import Answer, Apologise, Directory, Route, open_directory
from worker.legs import CallRequest
from worker.versions import Versions

__all__ = ["databases"]

NUMBER, OTHER = "+15550100", "+15550101"
_PATIENCE_S = 20


@dataclass
class Desk:
    """An organization with a published workflow that answers NUMBER."""

    store: Store
    organization_id: str
    published: VersionRow
    faults: list[tuple[str, str]] = field(default_factory=list)

    async def publish(self, config: Any, name: str = "desk") -> VersionRow:
        draft = await self.store.save_draft(self.organization_id, name, config)
        return await self.store.publish(draft.id)

    def open(self, versions: Versions | None = None) -> AbstractAsyncContextManager[Directory]:
        return open_directory(
            self.store,
            versions or Versions(self.store, offline=True),
            self.organization_id,
            on_fault=lambda code, message: self.faults.append((code, message)),
        )


async def a_desk(store: Store) -> Desk:
    acme = await store.ensure_organization("Acme")
    published = await store.publish((await store.save_draft(acme.id, "desk", front_desk())).id)
    await store.set_number(acme.id, NUMBER, "desk")
    return Desk(store, acme.id, published)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def desk(store: MemoryStore) -> Desk:
    return await a_desk(store)


def ring(dialled: str | None = NUMBER, **fields: Any) -> CallRequest:
    return CallRequest(channel="phone", caller="+4930123", dialled=dialled, **fields)


def answered(route: Route) -> str:
    assert isinstance(route, Answer), route
    return route.version.version.id


def sorry(route: Route) -> Apologise:
    assert isinstance(route, Apologise), route
    return route


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - what a caller would hear, not what happens inside
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- who answers


@pytest.mark.parametrize("dialled", [NUMBER, "0015550100", "sip:+15550100@example.com", "15550100"])
async def test_the_dialled_number_leads_to_its_workflow(desk: Desk, dialled: str) -> None:
    async with desk.open() as directory:
        route = await directory.route(ring(dialled))
        assert isinstance(route, Answer)
        assert (route.version.version, route.organization_id) == (desk.published, desk.organization_id)
        assert directory.ready
        assert 0 <= directory.stale_s < _PATIENCE_S
    assert desk.faults == []


async def test_a_version_comes_first_then_a_workflow_then_the_number(desk: Desk) -> None:
    sales = await desk.publish(front_desk(instructions="Sell."), "sales")
    draft = await desk.store.save_draft(desk.organization_id, "sales", front_desk(instructions="Sell more."))
    async with desk.open() as directory:
        named = ring(workflow_id=sales.workflow_id)
        assert answered(await directory.route(replace(named, workflow_version_id=draft.id))) == draft.id
        assert answered(await directory.route(named)) == sales.id
        assert answered(await directory.route(ring())) == desk.published.id


async def test_the_default_answers_any_other_number(desk: Desk) -> None:
    sales = await desk.publish(front_desk(instructions="Sell."), "sales")
    await desk.store.set_default_workflow(desk.organization_id, "sales")
    async with desk.open() as directory:
        for dialled in (OTHER, None, "agent"):
            assert answered(await directory.route(ring(dialled))) == sales.id
        assert answered(await directory.route(ring())) == desk.published.id
        assert answered(await directory.route(ring(direction="outbound"))) == sales.id


async def test_an_unknown_number_is_named_with_the_remedy(desk: Desk) -> None:
    async with desk.open() as directory:
        found = sorry(await directory.route(ring(OTHER)))
        assert (found.reason, found.code, found.organization_id) == (
            "no_workflow",
            "unknown_number",
            desk.organization_id,
        )
        assert all(word in found.message for word in (OTHER, "Acme", "patchbay number add", "patchbay number default"))
        assert "without a dialled number" in sorry(await directory.route(ring(None))).message


async def test_an_unpublished_workflow_is_named_with_the_remedy(desk: Desk) -> None:
    await desk.store.save_draft(desk.organization_id, "sales", front_desk())
    await desk.store.set_number(desk.organization_id, OTHER, "sales")
    async with desk.open() as directory:
        found = sorry(await directory.route(ring(OTHER)))
        assert (found.reason, found.code) == ("no_workflow", "unpublished_workflow")
        assert all(word in found.message for word in (OTHER, "'sales'", "patchbay workflow publish"))
        unknown = str(uuid4())
        assert unknown in sorry(await directory.route(ring(workflow_id=unknown))).message
        found = sorry(await directory.route(ring(workflow_version_id=unknown)))
        assert (found.reason, found.code, found.version_id) == ("no_workflow", "unknown_version", unknown)


@pytest.mark.parametrize(
    ("config", "code", "language"),
    [
        ({"agents": [], "session": {"language": "de"}}, "faulty_config", "de"),
        (front_desk(schema_version=99, session={"language": "fr"}), "newer_schema_version", "fr"),
        ({"session": []}, "faulty_config", None),
    ],
)
async def test_a_config_that_cannot_run_is_told_when_it_is_published_and_when_it_is_called(
    desk: Desk, config: Any, code: str, language: str | None
) -> None:
    async with desk.open() as directory:
        faulty = await desk.publish(config)
        await until(lambda: has_code(directory, code))
        found = sorry(await directory.route(ring()))
        assert (found.reason, found.code, found.language, found.version_id) == ("error", code, language, faulty.id)
        assert "'desk'" in found.message
    assert [fault for fault, _ in desk.faults] == [code]


async def has_code(directory: Directory, code: str) -> bool:
    route = await directory.route(ring())
    return isinstance(route, Apologise) and route.code == code


async def test_of_two_organizations_with_one_number_our_own_answers(desk: Desk) -> None:
    other = await desk.store.ensure_organization("Umbrella")
    theirs = await desk.store.publish((await desk.store.save_draft(other.id, "desk", front_desk())).id)
    for number in (NUMBER, OTHER):
        await desk.store.set_number(other.id, number, "desk")
    third = await desk.store.ensure_organization("Third")
    async with desk.open() as directory:
        assert answered(await directory.route(ring(NUMBER))) == desk.published.id
        route = await directory.route(ring(OTHER))
        assert isinstance(route, Answer)
        assert (route.version.version, route.organization_id) == (theirs, other.id)
    async with replace(desk, organization_id=third.id).open() as directory:
        found = sorry(await directory.route(ring(NUMBER)))
        assert (found.reason, found.code) == ("no_workflow", "ambiguous_number")
        assert all(word in found.message for word in (NUMBER, "Acme", "Umbrella", "PATCHBAY_ORG"))


# ---------------------------------------------------------------- fresh


async def test_a_published_version_answers_the_next_call_within_a_second(desk: Desk) -> None:
    async with desk.open() as directory:
        assert answered(await directory.route(ring())) == desk.published.id
        assert min([await seconds_until_used(desk, directory, number) for number in range(3)]) < 1


async def seconds_until_used(desk: Desk, directory: Directory, number: int) -> float:
    """Publish, and return when the next call ran on it; on a busy machine the best of several counts."""
    began = asyncio.get_running_loop().time()
    newer = await desk.publish(front_desk(instructions=f"Number {number}"))
    await until(lambda: leads_to(directory, newer))
    return asyncio.get_running_loop().time() - began


async def leads_to(directory: Directory, version: VersionRow, dialled: str = NUMBER) -> bool:
    route = await directory.route(ring(dialled))
    return isinstance(route, Answer) and route.version.version.id == version.id


async def test_a_number_that_is_mapped_or_removed_is_known_at_once(desk: Desk) -> None:
    async with desk.open() as directory:
        await desk.store.set_number(desk.organization_id, OTHER, "desk")
        await until(lambda: leads_to(directory, desk.published, OTHER))
        await desk.store.remove_number(desk.organization_id, NUMBER)
        await until(lambda: has_code(directory, "unknown_number"))


async def test_the_old_version_answers_while_the_new_one_is_compiled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PREPARE_S", 0.2)
    gate, compile_row = asyncio.Event(), compiling._compiled
    loop = asyncio.get_running_loop()

    def slow(row: VersionRow, *, offline: bool) -> Any:
        if row.version == 2:
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        return compile_row(row, offline=offline)

    monkeypatch.setattr(compiling, "_compiled", slow)
    async with desk.open() as directory:
        newer = await desk.publish(front_desk(instructions="Newer."))
        calls = [spawn(directory.route(ring()), name="call 0")]
        for number in count(1):
            await asyncio.sleep(0.02)
            if not calls[-1].done():  # it waits for the new version
                break
            calls.append(spawn(directory.route(ring()), name=f"call {number}"))
        gate.set()
        routes = [answered(route) for route in await asyncio.gather(*calls)]
    assert (routes[0], routes[-1], len(set(routes))) == (desk.published.id, newer.id, 2)


async def test_limits_and_variables_follow_their_changes(desk: Desk) -> None:
    ours = desk.organization_id
    async with desk.open() as directory:
        assert directory.limits(ours) == directory.limits("unknown") == Limits()
        assert await directory.workspace(ours) == ()
        await desk.store.set_limits(ours, Limits(3))

        async def limited() -> bool:
            return directory.limits(ours) == Limits(3)

        await until(limited)
        await desk.store.set_variable(ours, "brand", "Acme", is_secret=False)
        (row,) = await directory.workspace(ours)
        assert (row.name, row.value) == ("brand", "Acme")


async def test_a_poll_finds_what_nobody_told(store: MemoryStore, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk.open() as directory:
        store._listeners.clear()
        monkeypatch.setattr(module, "_SLOW_POLL_S", 0.05)
        directory._wake.set()
        newer = await desk.publish(front_desk(instructions="Newer."))
        await store.set_variable(desk.organization_id, "brand", "Acme", is_secret=False)
        await until(lambda: leads_to(directory, newer))
        store._listeners.append(directory._changed)


class Deaf(MemoryStore):
    """A store behind a transaction pooler."""

    @asynccontextmanager
    async def listen(self, on_change: Any) -> AsyncIterator[None]:
        raise NotNotified("A transaction pooler is in the way.")
        yield


async def test_where_nothing_is_told_the_poll_is_quick_and_the_reason_is_named() -> None:
    desk = await a_desk(Deaf())
    async with desk.open() as directory:
        newer = await desk.publish(front_desk(instructions="Newer."))
        await until(lambda: leads_to(directory, newer))  # which the slow poll would not do in time
    assert desk.faults == [("not_notified", "A transaction pooler is in the way.")]


# ---------------------------------------------------------------- away


async def test_what_is_in_memory_answers_while_the_store_is_away(store: MemoryStore, desk: Desk) -> None:
    await store.set_variable(desk.organization_id, "brand", "Acme", is_secret=False)
    async with desk.open() as directory:
        known = await directory.workspace(desk.organization_id)
        store.away = True
        directory._changed("everything", "")

        async def told() -> bool:
            return bool(desk.faults)

        await until(told)
        assert answered(await directory.route(ring())) == desk.published.id
        assert await directory.workspace(desk.organization_id) == known
        with pytest.raises(StoreUnreachable):
            await directory.workspace("another")
        assert directory.ready
        found = sorry(await directory.route(ring(workflow_version_id="unseen")))
        assert (found.reason, found.code) == ("error", "store_away")
        store.away = False
        newer = await desk.publish(front_desk(instructions="Newer."))
        await until(lambda: leads_to(directory, newer))
    assert [code for code, _ in desk.faults] == ["store_away"]


async def test_the_version_before_answers_where_the_new_one_cannot_be_loaded(
    store: MemoryStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = store.version
    async with desk.open() as directory:
        assert answered(await directory.route(ring())) == desk.published.id
        newer = await store.save_draft(desk.organization_id, "desk", front_desk(instructions="Newer."))

        async def away(version_id: str) -> VersionRow:
            if version_id == newer.id and store._versions[newer.id].status == "published":
                raise StoreUnreachable("The store went away in between.")
            return await read(version_id)

        monkeypatch.setattr(store, "version", away)
        await store.publish(newer.id)

        async def switched() -> bool:
            published = directory._snapshot.published if directory._snapshot else {}
            return published[newer.workflow_id].version_id == newer.id

        await until(switched)
        assert answered(await directory.route(ring())) == desk.published.id


async def test_a_store_that_is_away_from_the_start_is_waited_for(store: MemoryStore, desk: Desk) -> None:
    store.away = True
    async with desk.open() as directory:
        assert not directory.ready
        assert directory.stale_s == float("inf")
        assert sorry(await directory.route(ring())).code == "store_away"
        store.away = False
        await until(lambda: leads_to(directory, desk.published))
        assert directory.ready


async def test_a_store_that_hangs_keeps_no_caller_waiting(
    store: MemoryStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_PATIENCE_S", "_FIRST_PATIENCE_S"):
        monkeypatch.setattr(f"worker.workspaces.{name}", 0.05)
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    draft = await store.save_draft(desk.organization_id, "desk", front_desk(instructions="Newer."))

    async def hang(*_arguments: Any) -> Any:
        await asyncio.Event().wait()

    async with desk.open() as directory:
        for name in ("directory", "version", "variables"):
            monkeypatch.setattr(store, name, hang)
        assert answered(await directory.route(ring())) == desk.published.id
        assert sorry(await directory.route(ring(workflow_version_id=draft.id))).code == "store_away"
        with pytest.raises(StoreUnreachable, match="too long"):
            await directory.workspace(desk.organization_id)


# ---------------------------------------------------------------- on a real database


@pytest.mark.server
async def test_on_postgres_a_publish_is_heard_across_a_lost_connection(databases: Databases) -> None:
    url = await databases.migrated()
    store, other = PostgresStore(url), PostgresStore(url)
    desk = await a_desk(other)
    async with replace(desk, store=store).open() as directory:
        assert answered(await directory.route(ring())) == desk.published.id
        assert min([await seconds_until_used(desk, directory, number) for number in range(3)]) < 1
        async with other.connection() as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()"
            )
        newer = await desk.publish(front_desk(instructions="Again."))
        await until(lambda: leads_to(directory, newer))
        await databases.drop(url)
        assert answered(await directory.route(ring())) == newer.id
    await store.aclose()
    await other.aclose()
    assert "not_listening" in [code for code, _ in desk.faults]


@pytest.mark.server
@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_behind_a_transaction_pooler_a_publish_is_found_and_the_pooler_is_named(
    databases: Databases, tmp_path: Path
) -> None:
    async with transaction_pooler(await databases.migrated(), tmp_path) as url:
        store = PostgresStore(url, transaction_pooler=True)
        desk = await a_desk(store)
        async with desk.open() as directory:
            newer = await desk.publish(front_desk(instructions="Newer."))
            await until(lambda: leads_to(directory, newer))

            async def told() -> bool:
                return bool(desk.faults)

            await until(told)
        await store.aclose()
    ((code, message),) = desk.faults
    assert code == "not_notified"
    assert "transaction pooler" in message
