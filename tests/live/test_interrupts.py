"""Commands that are interrupted, terminated or killed: nothing keeps running, and every call gets its end."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.store.embedded import EmbeddedPostgres
from tests.cli.console import BILLING, FRONT_DESK, Console

Json = Any
CHAT = ("chat", FRONT_DESK, "--offline", "--json")
CALL = ("call", FRONT_DESK, "--offline", "--json", "--say", "I have a question about my bill")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    console = Console(tmp_path_factory.mktemp("interrupted"))
    yield console
    EmbeddedPostgres(console.home).start().stop()  # a test that failed may have left one


def until(process: "subprocess.Popen[bytes]", event_type: str) -> str:
    """Read events up to the first of this type, and return the session's id."""
    assert process.stdout is not None
    while f'"event_type": "{event_type}"'.encode() not in (line := process.stdout.readline()):
        assert process.poll() is None
    return str(json.loads(line)["session_id"])


def stored(console: Console, session_id: str) -> dict[str, Json]:
    """Return the session with its events; the command drains what dead processes left, and is the last to leave."""
    found = console.run("session", "events", session_id, "--json").json
    assert [event["seq"] for event in found["events"]] == list(range(1, len(found["events"]) + 1))
    assert found["events"][-1]["event_type"] == "call_ended"
    assert found["session"]["ended_at"] is not None
    assert console.servers() == []
    assert list((console.home / "events").iterdir()) == []
    return found


@pytest.mark.live
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_call_that_is_ended_from_outside_is_closed_in_order(
    console: Console, number: signal.Signals, code: int
) -> None:
    with console.running(*CALL, "--out", f"{code}.wav") as process:
        session_id = until(process, "agent_entered")
        time.sleep(0.5)
        done = console.interrupted(process, number, code=code)
    assert done.events[-1]["event_type"] == "call_ended"
    assert console.servers() == []
    assert (console.folder / f"{code}.wav").stat().st_size > 44
    row = stored(console, session_id)["session"]
    assert (row["status"], row["end_reason"]) == ("dropped", "error")


@pytest.mark.server
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_chat_that_waits_for_a_person_ends_at_once(console: Console, number: signal.Signals, code: int) -> None:
    with console.running(*CHAT) as process:
        session_id = until(process, "agent_turn")
        time.sleep(0.2)
        began = time.monotonic()
        console.interrupted(process, number, code=code)
    assert time.monotonic() - began < 10
    assert stored(console, session_id)["session"]["status"] == "dropped"


@pytest.mark.server
def test_an_impatient_user_presses_it_twice(console: Console) -> None:
    with console.running(*CHAT) as process:
        session_id = until(process, "agent_turn")
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        console.interrupted(process, signal.SIGINT, code=130)
    assert stored(console, session_id)["session"]["status"] == "dropped"


@pytest.mark.server
@pytest.mark.parametrize(
    ("seen", "number", "code"), [("initdb.log", signal.SIGINT, 130), ("server.log", signal.SIGTERM, 143)]
)
def test_an_interrupt_while_postgres_starts_leaves_none(
    tmp_path: Path, seen: str, number: signal.Signals, code: int
) -> None:
    console = Console(tmp_path)
    with console.running("session", "list") as process:
        while not (console.home / "postgres" / seen).exists():
            assert process.poll() is None
            time.sleep(0.005)
        console.interrupted(process, number, code=code)
    assert console.servers() == []
    assert console.run("session", "list", "--json").json == {"sessions": []}


@pytest.mark.server
def test_a_call_that_is_killed_is_ended_by_the_next_command(console: Console) -> None:
    with console.running(*CHAT) as process:
        assert process.stdin is not None
        process.stdin.write(b"I have a question about my bill\nfour two seven one\n")
        process.stdin.flush()
        session_id = until(process, "path_taken")
        process.kill()
        process.wait()
    assert len(console.servers()) == 1
    found = stored(console, session_id)
    assert (found["session"]["status"], found["session"]["end_reason"]) == ("dropped", "worker_lost")
    assert found["session"]["variables"] == {"customer_number": "4271"}
    assert found["events"][-1]["payload"]["reason"] == "worker_lost"
    again = console.run(*CHAT, "--script", BILLING).events
    assert again[-1]["payload"]["status"] == "completed"
