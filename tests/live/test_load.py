"""`patchbay load` as it is used: a real server, a worker with two processes, three callers who interrupt and press keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.console import Console
from tests.fakes.crew import crew
from tests.fakes.databases import Databases
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.working import agent, ends, leads
from tests.fakes.working_rooms import environment

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

Json = Any
CANCEL = "i want to cancel my contract"
HOURS = "what are your opening hours"
GREETING = "Hello, and welcome. You have reached the desk, and we are here to help you with everything you need today."
SAY = ("--say", f"[interrupt 1.0] {CANCEL}", "--say", "[dtmf 4271#]", "--say", HOURS)


def two_desks() -> dict[str, Json]:
    """A desk that can be interrupted and wants a number by keypad, and another that says goodbye."""
    keyed = {"name": "customer_number", "description": "the number", "data_type": "digits", "min_length": 4}
    billing = {
        "id": "a-billing",
        "name": "Billing",
        "instructions": "Help.",
        "greeting": {"mode": "say", "text": "Billing, good day."},
        "paths": [ends(HOURS)],
    }
    path = leads("To Billing", CANCEL, target_agent_id="a-billing", required_variables=[{**keyed, "dtmf": True}])
    return agent(greeting=GREETING, paths=[path], agents=[billing], session={"silence": {"after_s": 60}})


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path_factory.mktemp("livekit")) as server:
        yield server


async def test_three_callers_are_measured_and_their_report_is_saved(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path
) -> None:
    url = await databases.migrated()
    async with crew(livekit, url, tmp_path, max_calls=4, workflow=two_desks()) as workers:
        env = environment(
            livekit, url, PATCHBAY_AGENT_NAME=workers.settings.agent_name, PATCHBAY_HTTP_PORT=str(workers.port)
        )
        folder = tmp_path / "callers"
        folder.mkdir()
        console = Console(folder, env)
        command = ("load", "--calls", "3", "--ramp", "0.4", *SAY, "--out", "out", "--json")
        with console.running(*command) as process:
            out, err = await asyncio.to_thread(process.communicate, timeout=150)
        assert process.returncode == 0, (err.decode(), json.loads(out or "{}").get("exceeded"), out[-20000:])
    told = json.loads(out)
    page = (folder / "out" / "report.html").read_text()
    assert json.loads((folder / "out" / "report.json").read_text()) == told
    assert (told["schema_version"], told["passed"], told["exceeded"], told["notes"]) == (1, True, [], [])
    assert [_went_well(call) for call in told["calls"]] == [True] * 3
    _told_in_all(told["summary"])
    assert told["workers"][-1]["cpu_s"] > told["workers"][0]["cpu_s"] > 0
    assert told["workers"][-1]["memory_mb"] > 50
    assert "passed" in page
    assert page.count("<svg") >= 5


def _went_well(call: Json) -> bool:
    interrupting, last = call["utterances"]
    assert (call["failure"], call["ended_by"]) == (None, "agent")
    assert 0 <= interrupting["barge_in"]["stop_s"] < 5  # the greeting is longer
    assert (interrupting["text"], last["text"]) == (CANCEL, HOURS)
    assert min(interrupting["response_s"], last["response_s"]) > 0.1  # the worker waits for a silence, at the least
    assert [keys["keys"] for keys in call["keys"]] == ["4271#"]
    assert call["stored"]["reason"] == "agent_hangup"
    assert call["sound"]["heard_s"] > 2
    return bool(call["sound"]["packets"] > 0)


def _told_in_all(summary: Json) -> None:
    assert (summary["calls"], summary["passed"], summary["faults"]) == (3, 3, {})
    assert summary["losses"]["utterances"] == 6
    assert summary["losses"]["words_lost_percent"] is not None
    assert summary["latencies"]["response"]["count"] == 6
    assert summary["latencies"]["workers_response"]["count"] >= 3
    assert summary["callers"]["cores"] > 0
