"""What a call that changes its worker must not lose or let out: sensitive values, and all of it on a real database."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from runtime.store.embedded import EmbeddedPostgres
from runtime.store.postgres import PostgresStore
from tests.calls.promises import assert_promises
from tests.calls.resumed import KEYS, play, resumed_at, scene_of
from tests.calls.runs import Place, read, script
from tests.fakes.databases import Databases

Json = Any
NUMBER = "4271"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("home")).start()
    try:
        yield Databases(server.dsn)
    finally:
        server.stop()


@pytest.fixture
async def store(databases: Databases) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(await databases.migrated())
    yield store
    await store.aclose()


def discreet() -> dict[str, Json]:
    """Return the front desk with a customer number that nobody but the engine may know."""
    config = copy.deepcopy(read("front_desk"))
    config["agents"][0]["paths"][0]["required_variables"][0]["sensitive"] = True
    config["agents"][1]["instructions"] = "You are in billing. Find out the month in question."
    return config


async def test_a_sensitive_value_is_kept_and_stays_secret(place: Place) -> None:
    played = await play(await scene_of(discreet(), place), list(script("front_desk", "billing")))
    known = next(event for event in played.events if event.event_type == "variable_collected")
    assert NUMBER in KEYS.decrypt(known.secret or "")
    for seq in range(known.seq, len(played.events), 3):
        result = await resumed_at(played, seq)
        where = f"after event {seq} ({played.events[seq - 1].event_type})"
        assert_promises(result)
        assert (result.paths, result.variables) == (played.result.paths, played.result.variables), where
        assert NUMBER not in json.dumps([dict(event.payload) for event in result.events]), where
        assert result.types.count("variable_collected") == played.result.types.count("variable_collected"), where


@pytest.mark.server
async def test_on_postgres_it_comes_out_the_same(place: Place, store: PostgresStore) -> None:
    played = await play(await scene_of(read("appointments"), place), list(script("appointments", "correction")))
    for seq in range(2, len(played.events), 5):
        result = await resumed_at(played, seq, store=store)
        where = f"after event {seq} ({played.events[seq - 1].event_type})"
        assert_promises(result)
        assert [event.seq for event in result.events] == list(range(1, len(result.events) + 1)), where
        assert (result.paths, result.variables) == (played.result.paths, played.result.variables), where
        assert result.row.end_reason == played.result.row.end_reason, where
