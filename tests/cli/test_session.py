"""`patchbay session`."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from runtime.session.ports import CallRow, EventRow
from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay

FIRST = "aaaa0000-0000-4000-8000-000000000001"
SECOND = "aaaa1111-0000-4000-8000-000000000002"
OTHERS = "bbbb0000-0000-4000-8000-000000000003"
START = datetime(2026, 5, 3, 15, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def calls(store: MemoryStore) -> None:
    asyncio.run(fill(store))


async def fill(store: MemoryStore) -> None:
    ours = (await store.ensure_organization("local")).id
    theirs = (await store.ensure_organization("other")).id
    for minute, (session_id, organization, is_test) in enumerate(
        [(FIRST, ours, False), (SECOND, ours, True), (OTHERS, theirs, False)]
    ):
        channel = "chat_test" if is_test else "phone"
        start = START + timedelta(minutes=minute)
        await store.open_call(CallRow(session_id, organization, None, channel, "inbound", is_test, start))
    payload = {"v": 1, "turn": 1, "elapsed_ms": 1500, "agent_name": "Front desk", "text": "hi \x1b[31mthere"}
    await store.append([EventRow(FIRST, ours, 1, "user_turn", payload, "a", START, secret="token")])


def test_sessions_are_listed_newest_first(patchbay: Patchbay) -> None:
    rows = json.loads(patchbay("session", "list", "--json").stdout)["sessions"]
    assert [row["id"] for row in rows] == [SECOND, FIRST]
    assert rows[1]["started_at"] == "2026-05-03T15:30:00+00:00"
    assert [
        row["id"] for row in json.loads(patchbay("session", "list", "--limit", "1", "--json").stdout)["sessions"]
    ] == [SECOND]
    rows = json.loads(patchbay("session", "list", "--no-tests", "--json").stdout)["sessions"]
    assert [row["id"] for row in rows] == [FIRST]
    assert FIRST in patchbay("session", "list").stdout


@pytest.mark.parametrize("text", [FIRST, FIRST.upper(), "aaaa0", "AAAA0"])
def test_a_session_is_found_by_its_id_or_a_beginning(patchbay: Patchbay, text: str) -> None:
    assert json.loads(patchbay("session", "show", text, "--json").stdout)["id"] == FIRST
    assert "inbound" in patchbay("session", "show", text).stdout


def test_a_beginning_that_several_have_lists_them(patchbay: Patchbay) -> None:
    result = patchbay("session", "show", "aaaa")
    assert result.exit_code == 2
    assert FIRST in result.stderr
    assert SECOND in result.stderr


@pytest.mark.parametrize("text", ["", "cccc", OTHERS, "bbbb", "cccc0000-0000-4000-8000-000000000003", "%"])
def test_a_session_that_is_not_ours_does_not_exist(patchbay: Patchbay, text: str) -> None:
    for command in ("show", "events"):
        result = patchbay("session", command, text, "--json")
        assert (result.exit_code, result.stdout) == (1, "")


def test_events_come_in_order_and_without_their_secret(patchbay: Patchbay) -> None:
    found = json.loads(patchbay("session", "events", "aaaa0", "--json").stdout)
    assert found["session"]["id"] == FIRST
    (event,) = found["events"]
    assert {"session_id", "seq", "event_type", "occurred_at", "payload"} <= set(event)
    assert "secret" not in event
    people = patchbay("session", "events", "aaaa0")
    assert "Front desk" in people.stdout
    assert "1.500" in people.stdout
    assert "\x1b" not in people.stdout


def test_a_session_without_events_says_so(patchbay: Patchbay) -> None:
    result = patchbay("session", "events", SECOND)
    assert (result.exit_code, result.stdout) == (0, "")
    assert SECOND in result.stderr


def test_an_analysis_is_shown_with_its_session(patchbay: Patchbay, store: MemoryStore) -> None:
    amount = {"amount": "12.50", "currency": "EUR"}
    analysis = {"v": 1, "summary": "Wanted a copy.", "outcome": None, "fields": {"due": amount}, "model": "rules"}
    asyncio.run(store.save_analysis(FIRST, analysis))
    assert json.loads(patchbay("session", "show", FIRST, "--json").stdout)["analysis"] == analysis
    assert json.loads(patchbay("session", "show", SECOND, "--json").stdout)["analysis"] is None
    people = patchbay("session", "show", FIRST).stdout
    assert "Wanted a copy." in people
    assert '"amount": "12.50"' in people
    asyncio.run(store.save_analysis(FIRST, {"v": 1, "error_code": "timeout"}))
    assert "timeout" in patchbay("session", "show", FIRST).stdout
