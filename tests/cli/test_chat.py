"""`patchbay chat`: what programs rely on, what is stored, and a caller who types."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ProviderMissing
from runtime.session.call_session import SystemClock
from runtime.store.memory import MemoryStore
from runtime.voice.live_call import LiveCall
from tests.calls.runs import read
from tests.cli.conftest import Patchbay
from tests.cli.console import BILLING, FRONT_DESK, Console, Done

Json = Any
KEYS = ["session_id", "seq", "event_type", "occurred_at", "payload"]
COLLECTED = {"customer_number": "4271", "invoice_month": "May"}


def lines(out: str) -> list[dict[str, Json]]:
    return [json.loads(line) for line in out.splitlines()]


def chat(patchbay: Patchbay, *args: str, stdin: str | None = None) -> list[dict[str, Json]]:
    result = patchbay("chat", *args, "--offline", "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return lines(result.stdout)


def versions(store: MemoryStore) -> dict[str, list[tuple[int, str]]]:
    """The versions and their status, by the workflow's name."""

    async def look() -> dict[str, list[tuple[int, str]]]:
        organization = (await store.ensure_organization("local")).id
        rows = await store.workflows(organization)
        return {
            row.name: sorted((each.version, each.status) for each in await store.versions(organization, row.name))
            for row in rows
        }

    return asyncio.run(look())


def test_a_file_becomes_one_draft_by_its_content_and_is_never_published(
    patchbay: Patchbay, store: MemoryStore, tmp_path: Path
) -> None:
    config = read("front_desk")
    file = tmp_path / "desk.json"
    file.write_text(json.dumps(config))
    for _ in range(2):
        chat(patchbay, str(file), "--script", BILLING)
    assert versions(store) == {"desk": [(1, "draft")]}
    file.write_text(json.dumps(dict(reversed(config.items())), indent=2))
    chat(patchbay, str(file), "--script", BILLING)
    assert versions(store) == {"desk": [(1, "draft")]}
    file.write_text(json.dumps(config | {"instructions": "Be brief."}))
    chat(patchbay, str(file), "--script", BILLING)
    assert versions(store) == {"desk": [(1, "draft"), (2, "draft")]}


def test_the_workflow_or_the_script_may_come_from_standard_input(patchbay: Patchbay, store: MemoryStore) -> None:
    events = chat(patchbay, "-", "--script", BILLING, stdin=Path(FRONT_DESK).read_text(encoding="utf-8"))
    assert events[-1]["payload"]["variables"] == COLLECTED
    assert versions(store) == {"stdin": [(1, "draft")]}
    events = chat(patchbay, FRONT_DESK, "--script", "-", stdin=Path(BILLING).read_text(encoding="utf-8"))
    assert events[-1]["payload"]["variables"] == COLLECTED


def test_a_published_workflow_runs_by_its_name_and_any_version_by_its_id(
    patchbay: Patchbay, store: MemoryStore, tmp_path: Path
) -> None:
    published = json.loads(patchbay("workflow", "publish", FRONT_DESK, "--name", "Front desk", "--json").stdout)
    changed = tmp_path / "Front desk.json"
    changed.write_text(json.dumps(read("front_desk") | {"instructions": "Be brief."}))
    drafted = chat(patchbay, str(changed), "--script", BILLING)[0]["payload"]["workflow_version_id"]
    assert versions(store) == {"Front desk": [(1, "published"), (2, "draft")]}
    by_name = chat(patchbay, "--workflow", "Front desk", "--script", BILLING)
    assert by_name[0]["payload"]["workflow_version_id"] == published["id"]
    by_id = chat(patchbay, "--version", drafted, "--script", BILLING)
    assert by_id[0]["payload"]["workflow_version_id"] == drafted
    assert by_id[-1]["payload"]["variables"] == COLLECTED


def test_a_version_of_another_organization_does_not_exist(
    patchbay: Patchbay, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = chat(patchbay, FRONT_DESK, "--script", BILLING)[0]["payload"]["workflow_version_id"]
    monkeypatch.setenv("PATCHBAY_ORG", "somebody else")
    result = patchbay("chat", "--version", version, "--offline", "--script", BILLING)
    assert (result.exit_code, result.stdout) == (1, "")
    assert version in result.stderr


def test_an_empty_script_is_a_caller_who_says_nothing(patchbay: Patchbay, store: MemoryStore) -> None:
    events = chat(patchbay, FRONT_DESK, "--script", "-", stdin="# nothing\n\n")
    assert [event["event_type"] for event in events if event["event_type"].endswith("_turn")] == ["agent_turn"]
    assert events[-1]["payload"]["reason"] == "caller_hangup"


def test_people_read_a_timeline(patchbay: Patchbay, store: MemoryStore) -> None:
    result = patchbay("chat", FRONT_DESK, "--offline", "--script", BILLING)
    assert result.exit_code == 0
    for part in ("▸ Front desk", "caller  ", "✓ customer_number = 4271", "→ To Billing", "▸ Billing", "agent hangup"):
        assert part in result.stdout


def test_a_call_that_cannot_begin_is_closed_all_the_same(
    patchbay: Patchbay, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_live: LiveCall) -> None:
        raise ProviderMissing("The line is dead.")

    monkeypatch.setattr(LiveCall, "begin", fail)
    result = patchbay("chat", FRONT_DESK, "--offline", "--script", BILLING)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "The line is dead." in result.stderr
    (row,) = json.loads(patchbay("session", "list", "--json").stdout)["sessions"]
    assert (row["status"], row["end_reason"]) == ("dropped", "error")
    assert row["ended_at"] is not None


async def test_who_types_slowly_has_not_been_silent() -> None:
    clock = SystemClock(scripted=True)
    fired: list[float] = []
    clock.call_later(0.01, lambda: fired.append(1))
    clock.call_later(8, lambda: fired.append(8))
    await asyncio.sleep(0.05)
    assert fired == []
    assert clock.next_due(1) == pytest.approx(0.01)
    clock.skip(7.9)
    assert fired == [1]
    clock.skip(0.1)
    assert fired == [1, 8]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    return Console(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def played(console: Console) -> Done:
    return console.run("chat", FRONT_DESK, "--offline", "--script", BILLING, "--json")


@pytest.mark.server
def test_each_line_is_one_event_with_the_documented_keys(played: Done) -> None:
    events = played.events
    assert [list(event) for event in events] == [KEYS] * len(events)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["session_id"] for event in events}) == 1
    kinds = [event["event_type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("call_started", "call_ended")
    assert (kinds.count("call_started"), kinds.count("call_ended")) == (1, 1)
    assert events[-1]["payload"]["variables"] == COLLECTED


@pytest.mark.server
def test_what_was_printed_is_what_postgres_holds(console: Console, played: Done) -> None:
    session_id = played.events[0]["session_id"]
    stored = console.run("session", "events", session_id, "--json").json
    assert [{key: event[key] for key in KEYS} for event in stored["events"]] == played.events
    row = console.run("session", "show", session_id[:8], "--json").json
    assert row == stored["session"]
    assert row in console.run("session", "list", "--json").json["sessions"]
    assert (row["channel"], row["is_test"], row["status"]) == ("chat_test", True, "completed")
    assert (row["end_reason"], row["variables"]) == ("agent_hangup", COLLECTED)
    assert row["started_at"] < row["ended_at"]


@pytest.mark.server
async def test_the_test_and_its_transcript_are_stored(console: Console, played: Done) -> None:
    events = played.events
    found = await console.rows("select transcript from test_session where session_id = $1", events[0]["session_id"])
    (transcript,) = [json.loads(row["transcript"]) for row in found]
    spoken = [event["payload"] for event in events if event["event_type"] in {"user_turn", "agent_turn"}]
    assert [line["text"] for line in transcript] == [
        turn["text"] if "spoken_text" not in turn else turn["spoken_text"] for turn in spoken
    ]
    assert {line["role"] for line in transcript} == {"user", "agent"}


@pytest.mark.server
def test_nothing_is_left_running_or_waiting(console: Console, played: Done) -> None:
    assert played.err == ""
    assert console.servers() == []
    assert list((console.home / "events").iterdir()) == []


@pytest.mark.server
def test_what_is_typed_is_the_caller_and_the_end_of_input_hangs_up(console: Console) -> None:
    done = console.run("chat", FRONT_DESK, "--offline", stdin="I have a question about my bill\n[wrong]\n[dtmf 4271#]")
    assert "'[wrong]' is no step" in done.err
    assert "✓ customer_number = 4271" in done.out
    assert "call ended: caller hangup, 2 turns" in done.out


@pytest.mark.server
def test_what_is_typed_after_hanging_up_is_not_heard(console: Console) -> None:
    done = console.run("chat", FRONT_DESK, "--offline", "--json", stdin=b"\xff\xfe\nhello\r\n[hangup]\nnever\n")
    heard = [event["payload"]["text"] for event in done.events if event["event_type"] == "user_turn"]
    assert heard == ["\ufffd\ufffd", "hello"]
    assert done.events[-1]["payload"]["reason"] == "caller_hangup"


@pytest.mark.server
def test_nobody_reads_to_the_end(console: Console) -> None:
    for form in ([], ["--json"]):
        with console.running("chat", FRONT_DESK, "--offline", *form, "--script", BILLING) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.wait(50) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b""
        newest = console.run("session", "list", "--limit", "1", "--json").json["sessions"][0]
        assert (newest["status"], newest["variables"]) == ("completed", COLLECTED)
