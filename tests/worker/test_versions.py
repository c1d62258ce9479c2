"""Versions are compiled once, off the event loop, and kept."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any
from uuid import uuid4

import pytest

from runtime.errors import NotFound, StoreUnreachable
from runtime.session.ports import VersionRow
from runtime.store.memory import MemoryStore
from runtime.workflow.graph import Workflow
from tests.fakes.workflows import front_desk
from worker import versions as module
from worker.versions import NewerSchema, VersionRefused, Versions


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that compiled, one for each time."""
    seen: list[int] = []
    compile_row = module._compiled

    def noted(row: VersionRow, *, offline: bool) -> Workflow:
        seen.append(threading.get_ident())
        return compile_row(row, offline=offline)

    monkeypatch.setattr(module, "_compiled", noted)
    return seen


async def published(store: MemoryStore, config: Any, name: str = "desk") -> VersionRow:
    acme = await store.ensure_organization("Acme")
    return await store.publish((await store.save_draft(acme.id, name, config)).id)


async def test_a_version_is_compiled_once_and_not_on_the_loop(store: MemoryStore, threads: list[int]) -> None:
    row = await published(store, front_desk())
    versions = Versions(store, offline=True)
    first, again = await asyncio.gather(versions.get(row.id), versions.get(row.id))
    assert first is again is await versions.get(row.id)
    assert (first.version, first.workflow.version_id) == (row, row.id)
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
    store.away = True
    assert await versions.get(row.id) is first


async def test_who_stops_waiting_leaves_the_others_waiting(store: MemoryStore) -> None:
    row = await published(store, front_desk())
    versions = Versions(store, offline=True)
    async with asyncio.TaskGroup() as group:
        impatient, patient = (group.create_task(versions.get(row.id)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
    assert patient.result().version == row


async def test_the_least_used_goes_first(store: MemoryStore, threads: list[int]) -> None:
    rows = [await published(store, front_desk(instructions=f"{number}")) for number in range(3)]
    versions = Versions(store, offline=True, capacity=2)
    for row in (rows[0], rows[1], rows[0], rows[2]):
        await versions.get(row.id)
    assert [versions.has(row.id) for row in rows] == [True, False, True]
    assert len(threads) == 3


async def test_a_draft_is_not_kept_for_it_may_change(store: MemoryStore, threads: list[int]) -> None:
    acme = await store.ensure_organization("Acme")
    draft = await store.save_draft(acme.id, "desk", front_desk())
    versions = Versions(store, offline=True)
    for _ in range(2):
        assert (await versions.get(draft.id)).version == draft
    assert len(threads) == 2


@pytest.mark.parametrize(
    ("config", "kind", "words"),
    [
        ({"agents": []}, VersionRefused, r"Version 1 of 'desk' cannot run: \$\.agents"),
        (front_desk(schema_version=99), NewerSchema, r"(?s)schema version 99.*newer release"),
        (front_desk(session={"language": 3}), VersionRefused, r"session\.language"),
        ({}, VersionRefused, "agents"),
    ],
)
async def test_a_config_that_cannot_run_is_refused_with_its_version(
    store: MemoryStore, config: Any, kind: type[VersionRefused], words: str
) -> None:
    row = await published(store, config)
    with pytest.raises(VersionRefused, match=words) as caught:
        await Versions(store, offline=True).get(row.id)
    assert (type(caught.value), caught.value.version) == (kind, row)
    assert caught.value.faults


async def test_what_is_not_there_or_not_reached_is_said_and_tried_again(store: MemoryStore) -> None:
    row = await published(store, front_desk())
    versions = Versions(store, offline=True)
    with pytest.raises(NotFound):
        await versions.get(str(uuid4()))
    store.away = True
    with pytest.raises(StoreUnreachable):
        await versions.get(row.id)
    store.away = False
    assert (await versions.get(row.id)).version == row


def test_a_version_brings_its_plugins_into_a_process_that_has_none() -> None:
    code = """
import asyncio, sys
from runtime.importing import at_once
with at_once():
    from runtime.store.memory import MemoryStore
    from worker.versions import Versions
agent = {"id": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "name": "Intake", "instructions": "Help.", "vad": {"provider": "silero"}}
agent |= {kind: {"provider": "openai"} for kind in ("llm", "stt", "tts")}
agent["llm"]["options"] = {"temperature": 0.2}
async def main():
    store = MemoryStore()
    acme = await store.ensure_organization("Acme")
    row = await store.publish((await store.save_draft(acme.id, "desk", {"agents": [agent]})).id)
    plugins = [f"livekit.plugins.{name}" for name in ("openai", "silero")]
    await Versions(store, offline=True).get(row.id)
    print(*(name in sys.modules for name in plugins))
    await Versions(store).get(row.id)
    print(*(name in sys.modules for name in plugins))
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.splitlines() == ["False False", "True True"]
