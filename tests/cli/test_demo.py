"""`patchbay demo`: a whole call out of nothing, told, recorded and read back."""

import re
import signal
from pathlib import Path

import pytest

from tests.cli.console import Console
from tests.cli.test_call import levels

TIMELINE = (
    "call started (voice test)",
    "▸ Front desk",
    "✓ customer_number = 4271",
    "→ To Billing",
    "▸ Billing",
    "✓ invoice_month = May",
    "→ Send copy",
    "call ended: agent hangup",
)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """A user's first hour: no PATCHBAY_HOME, no key, a home folder with nothing in it."""
    return Console(tmp_path_factory.mktemp("user"), {"PATCHBAY_HOME": ""})


@pytest.fixture(scope="module")
def told(console: Console) -> str:
    return console.run("demo").out


@pytest.mark.live
def test_the_call_is_told_in_order(told: str) -> None:
    places = [told.find(part) for part in TIMELINE]
    assert -1 not in places, told
    assert places == sorted(places)
    assert told.count("caller  ") >= 4


@pytest.mark.live
def test_what_postgres_says_follows(told: str, console: Console) -> None:
    summary = told.partition("What Postgres says of session")[2]
    for words in (r"Front desk +[0-9]", r"customer_number +4271 +speech", r"call_started +1", r"call_ended +1"):
        assert re.search(words, summary), summary
    found = re.search(r"PATCHBAY_HOME=(\S+) patchbay session events (\w+)", summary)
    assert found is not None
    listed = Console(console.folder, {"PATCHBAY_HOME": found[1]}).run("session", "events", found[2], "--json").json
    assert listed["session"]["status"] == "completed"


@pytest.mark.live
def test_both_sides_are_on_the_recording(told: str) -> None:
    found = re.search(r"Listen to it: (\S+)", told)
    assert found is not None
    assert min(levels(Path(found[1]))) > 20


@pytest.mark.live
def test_the_demo_leaves_no_trace_in_the_users_data(told: str, console: Console) -> None:
    assert told
    assert console.run("session", "list", "--json").json == {"sessions": []}
    listed = console.run("workflow", "list", "--json").json
    assert listed == {"workflows": []}


@pytest.mark.live
def test_a_second_demo_may_be_interrupted(told: str, console: Console) -> None:
    assert told
    with console.running("demo", "--json", "--out", "second.wav") as process:
        assert process.stdout is not None
        while b'"agent_turn"' not in process.stdout.readline():
            assert process.poll() is None
        done = console.interrupted(process, signal.SIGINT, code=130)
    assert done.events[-1]["event_type"] == "call_ended"
    assert (console.folder / "second.wav").stat().st_size > 44
    demo = console.folder / ".local" / "share" / "patchbay" / "demo"
    assert [line for line in console.servers() if str(demo) in line] == []
    row = Console(console.folder, {"PATCHBAY_HOME": str(demo)}).run("session", "list", "--json").json["sessions"][0]
    assert (row["status"], row["end_reason"]) == ("dropped", "error")
