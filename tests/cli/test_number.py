"""`patchbay number`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.errors import Unreachable
from runtime.settings import Settings
from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay

Json = dict[str, Any]

CONFIG = """
defaults: {llm: {provider: local}, stt: {provider: local}, tts: {provider: local}}
agents:
  - {id: a, name: Desk, instructions: Help.}
"""
NUMBER = "+15550100"


@pytest.fixture(autouse=True)
def desk(patchbay: Patchbay, store: MemoryStore, tmp_path: Path) -> Json:
    """The workflow that was published."""
    (tmp_path / "desk.yaml").write_text(CONFIG)
    return said(patchbay, "workflow", "publish", "desk.yaml")


def said(patchbay: Patchbay, *args: str) -> Json:
    result = patchbay(*args, "--json")
    assert result.exit_code == 0, result.output
    found: Json = json.loads(result.stdout)
    return found


def test_a_number_is_mapped_listed_and_removed(patchbay: Patchbay, desk: Json) -> None:
    row = said(patchbay, "number", "add", "+1 555-0100", "--workflow", "desk", "--description", "Hotline")
    assert row == {
        "number": NUMBER,
        "organization_id": desk["organization_id"],
        "workflow_id": desk["workflow_id"],
        "workflow_name": "desk",
        "is_default": False,
        "description": "Hotline",
    }
    assert said(patchbay, "number", "list")["numbers"] == [row]
    assert said(patchbay, "number", "add", NUMBER, "--workflow", desk["workflow_id"]) == row
    assert "Hotline" in patchbay("number", "list").stdout
    assert patchbay("number", "remove", NUMBER).exit_code == 0
    assert said(patchbay, "number", "list")["numbers"] == []


def test_an_empty_list_says_how_to_begin(patchbay: Patchbay) -> None:
    result = patchbay("number", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "patchbay number add" in result.stderr


@pytest.mark.parametrize("number", ["15550100", "desk", "", "+", "+999123456", "030 123456", "+1555\x1b[31m"])
def test_what_is_no_number_is_wrong_usage(patchbay: Patchbay, number: str) -> None:
    for args in (["add", number, "--workflow", "desk"], ["remove", number]):
        result = patchbay("number", *args)
        assert result.exit_code == 2
        assert "E.164" in result.stderr
        assert "\x1b" not in result.output


def test_an_unknown_workflow_or_number_names_what_there_is(patchbay: Patchbay) -> None:
    patchbay("number", "add", NUMBER, "--workflow", "desk")
    for args, word in (
        (["add", "+15550101", "--workflow", "sales"], "desk"),
        (["default", "sales"], "desk"),
        (["remove", "+15550101"], NUMBER),
    ):
        result = patchbay("number", *args)
        assert result.exit_code == 1
        assert word in result.stderr


def test_a_number_is_not_taken_from_another_workflow_unasked(patchbay: Patchbay) -> None:
    patchbay("workflow", "publish", "desk.yaml", "--name", "sales")
    patchbay("number", "add", NUMBER, "--workflow", "desk", "--description", "Hotline")
    result = patchbay("number", "add", NUMBER, "--workflow", "sales")
    assert result.exit_code == 2
    assert all(word in result.stderr for word in ("'desk'", "--replace", f"patchbay number remove {NUMBER}"))
    row = said(patchbay, "number", "add", NUMBER, "--workflow", "sales", "--replace")
    assert (row["workflow_name"], row["description"]) == ("sales", "Hotline")


def test_a_number_that_another_organization_maps_is_told(patchbay: Patchbay, store: MemoryStore) -> None:
    async def map_it() -> None:
        other = await store.ensure_organization("Other")
        await store.save_draft(other.id, "theirs", {})
        await store.set_number(other.id, NUMBER, "theirs")

    asyncio.run(map_it())
    result = patchbay("number", "add", NUMBER, "--workflow", "desk")
    assert result.exit_code == 0
    assert "Another organization" in result.stderr
    assert "theirs" not in result.output


def test_a_workflow_that_was_never_published_is_told(patchbay: Patchbay, store: MemoryStore, desk: Json) -> None:
    asyncio.run(store.save_draft(desk["organization_id"], "draft", {}))
    result = patchbay("number", "add", NUMBER, "--workflow", "draft")
    assert result.exit_code == 0
    assert "no published version" in result.stderr


def test_the_default_answers_any_other_number_until_none_does(patchbay: Patchbay, desk: Json) -> None:
    expected = {"default_workflow_id": desk["workflow_id"], "default_workflow_name": "desk"}
    assert said(patchbay, "number", "default", "desk") == expected
    assert said(patchbay, "number", "list") == {"numbers": [], **expected}
    assert "any other" in patchbay("number", "list").stdout
    assert said(patchbay, "number", "test", "+15550199")["version_id"] == desk["id"]
    assert said(patchbay, "number", "default", "--none")["default_workflow_id"] is None
    assert "nobody" in patchbay("number", "default", "--none").stdout
    for args in ([], ["desk", "--none"]):
        assert patchbay("number", "default", *args).exit_code == 2


def test_a_test_says_which_version_would_answer(patchbay: Patchbay, desk: Json) -> None:
    patchbay("number", "add", NUMBER, "--workflow", "desk")
    for dialled in (NUMBER, "0015550100", "sip:15550100@example.com"):
        assert said(patchbay, "number", "test", dialled) == {
            "number": dialled,
            "answered": True,
            "organization_id": desk["organization_id"],
            "workflow_id": desk["workflow_id"],
            "workflow_name": "desk",
            "version": 1,
            "version_id": desk["id"],
        }
    shown = patchbay("number", "test", NUMBER).stdout
    assert "desk" in shown
    assert "1 (published)" in shown


def test_a_test_says_why_none_would_answer(patchbay: Patchbay, store: MemoryStore, desk: Json) -> None:
    result = patchbay("number", "test", NUMBER)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "patchbay number add" in result.stderr
    result = patchbay("number", "test", NUMBER, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["answered"], found["code"]) == (1, False, "unknown_number")
    faulty = asyncio.run(store.save_draft(desk["organization_id"], "faulty", {"agents": []}))
    asyncio.run(store.publish(faulty.id))
    patchbay("number", "add", NUMBER, "--workflow", "faulty")
    found = json.loads(patchbay("number", "test", NUMBER, "--json").stdout)
    assert (found["code"], found["version_id"]) == ("faulty_config", faulty.id)


def test_a_trunk_is_made_and_removed_with_the_number(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    async def provision(settings: Settings, number: str) -> dict[str, str]:
        asked.append(("provision", number))
        return {"trunk_id": "ST_1", "rule_id": "SDR_1"}

    async def unprovision(settings: Settings, number: str) -> None:
        asked.append(("unprovision", number))

    trunks = SimpleNamespace(provision=provision, unprovision=unprovision)
    monkeypatch.setitem(sys.modules, "worker.trunks", trunks)
    row = said(patchbay, "number", "add", NUMBER, "--workflow", "desk", "--trunk")
    assert (row["number"], row["trunk"]) == (NUMBER, {"trunk_id": "ST_1", "rule_id": "SDR_1"})
    assert patchbay("number", "add", NUMBER, "--workflow", "desk", "--trunk").exit_code == 0
    assert patchbay("number", "remove", NUMBER, "--trunk").exit_code == 0
    assert asked == [("provision", NUMBER), ("provision", NUMBER), ("unprovision", NUMBER)]


def test_a_livekit_that_is_away_is_3_and_the_number_stays(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    async def provision(settings: Settings, number: str) -> None:
        raise Unreachable("LiveKit cannot be reached.")

    monkeypatch.setitem(sys.modules, "worker.trunks", SimpleNamespace(provision=provision))
    assert patchbay("number", "add", NUMBER, "--workflow", "desk", "--trunk").exit_code == 3
    assert [row["number"] for row in said(patchbay, "number", "list")["numbers"]] == [NUMBER]


def test_a_database_that_is_away_is_3(patchbay: Patchbay, store: MemoryStore) -> None:
    store.away = True
    for args in (["list"], ["add", NUMBER, "--workflow", "desk"], ["test", NUMBER], ["default", "desk"]):
        assert patchbay("number", *args).exit_code == 3
