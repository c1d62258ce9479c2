"""Versions of ended calls, compiled once."""

from __future__ import annotations

import asyncio

import pytest

from runtime.aftercall.loading import VersionLoader
from runtime.errors import ConfigRefused, NotFound, StoreUnreachable
from runtime.store.memory import MemoryStore
from tests.runtime.aftercall.conftest import config


async def saved(store: MemoryStore, document: dict[str, object], *, publish: bool = True) -> str:
    owner = await store.ensure_organization("Acme")
    version = await store.save_draft(owner.id, "support", document)
    return (await store.publish(version.id)).id if publish else version.id


async def test_a_published_version_is_compiled_once() -> None:
    store = MemoryStore()
    loader, version = VersionLoader(store), await saved(store, config())
    (one, name), (two, _) = await asyncio.gather(loader.load(version), loader.load(version))
    assert one is two
    assert name == "support"
    store.away = True
    assert (await loader.load(version))[0] is one


async def test_a_draft_is_compiled_as_it_stands() -> None:
    store = MemoryStore()
    loader, version = VersionLoader(store), await saved(store, config(), publish=False)
    assert (await loader.load(version))[0] is not (await loader.load(version))[0]


async def test_no_provider_needs_to_be_installed() -> None:
    store = MemoryStore()
    document = {**config(), "defaults": {"llm": {"provider": "nobody_has_this"}}}
    workflow, _ = await VersionLoader(store).load(await saved(store, document))
    assert len(workflow.on_end) == 1


@pytest.mark.parametrize("document", [{}, {"agents": []}, {"schema_version": 999}, {**config(), "strange": 1}])
async def test_a_version_with_faults_is_refused(document: dict[str, object]) -> None:
    store = MemoryStore()
    with pytest.raises(ConfigRefused):
        await VersionLoader(store).load(await saved(store, document))


async def test_a_version_that_is_not_there() -> None:
    store = MemoryStore()
    with pytest.raises(NotFound):
        await VersionLoader(store).load("")
    store.away = True
    with pytest.raises(StoreUnreachable):
        await VersionLoader(store).load("")
