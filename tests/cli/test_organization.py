"""`patchbay organization`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay
from tests.contract.rows import CONFIG, a_call

Json = dict[str, Any]


def said(patchbay: Patchbay, *args: str) -> Json:
    result = patchbay("organization", *args, "--json")
    assert result.exit_code == 0, result.output
    found: Json = json.loads(result.stdout)
    return found


def test_an_organization_shows_what_it_may_and_does_use(patchbay: Patchbay, store: MemoryStore) -> None:
    async def use() -> str:
        local = await store.ensure_organization("local")
        await store.save_draft(local.id, "desk", CONFIG)
        await store.set_default_workflow(local.id, "desk")
        await store.open_call(a_call(local.id, is_test=False, worker_id="w-1", started_at=datetime.now(UTC)))
        return local.id

    organization_id = asyncio.run(use())
    found = said(patchbay, "show")
    assert found == {
        "id": organization_id,
        "name": "local",
        "default_workflow_id": found["default_workflow_id"],
        "default_workflow_name": "desk",
        "max_concurrent_calls": None,
        "max_minutes_a_day": None,
        "dial_prefixes": [],
        "active_calls": 1,
        "minutes_today": found["minutes_today"],
    }
    shown = patchbay("organization", "show").stdout
    assert all(word in shown for word in ("local", "desk", "1 (no limit)", "any number"))


def test_limits_are_set_one_by_one_and_lifted(patchbay: Patchbay, store: MemoryStore) -> None:
    names = ("max_concurrent_calls", "max_minutes_a_day", "dial_prefixes")

    def limited(*args: str) -> tuple[Any, ...]:
        found = said(patchbay, "limit", *args)
        return tuple(found[name] for name in names)

    assert limited("--calls", "20") == (20, None, [])
    assert limited("--minutes", "600", "--prefix", "+49", "--prefix", "+1", "--prefix", "+49") == (
        20,
        600,
        ["+49", "+1"],
    )
    assert limited("--calls", "0") == (0, 600, ["+49", "+1"])
    shown = patchbay("organization", "show").stdout
    assert all(word in shown for word in ("0 of 0", "0 of 600", "+49…, +1…"))
    assert limited("--none", "--calls", "5") == (5, None, [])
    assert limited("--none") == (None, None, [])


@pytest.mark.parametrize(
    "args",
    [[], ["--calls", "-1"], ["--minutes", "many"], ["--prefix", "49"], ["--prefix", "+49,\x1b"], ["--prefix", ""]],
)
def test_what_is_no_limit_is_wrong_usage(patchbay: Patchbay, store: MemoryStore, args: list[str]) -> None:
    result = patchbay("organization", "limit", *args)
    assert result.exit_code == 2
    assert "\x1b" not in result.output
    assert said(patchbay, "show")["max_concurrent_calls"] is None


def test_a_database_that_is_away_is_3(patchbay: Patchbay, store: MemoryStore) -> None:
    store.away = True
    assert patchbay("organization", "show", "--json").exit_code == 3
    assert patchbay("organization", "limit", "--calls", "1").exit_code == 3
