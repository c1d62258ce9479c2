"""Callers who are not our own SIP stack: sipp rings, presses keys, listens and hangs up."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.fakes.sip_caller import free_port
from tests.fakes.working import NUMBER, agent
from tests.live.conftest import OpenDesk

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed: apt install sip-tester"),
]

SCENARIO = Path(__file__).parent.parent / "fakes" / "sipp" / "caller.xml"
CALLS = 6


async def test_callers_of_another_make_are_answered_and_their_keys_are_heard(
    open_desk: OpenDesk, tmp_path: Path
) -> None:
    pin = {"name": "pin_code", "data_type": "digits", "min_length": 2, "max_length": 2, "dtmf": True}
    path = {"id": "p", "name": "Next", "description": "x", "target_agent_id": "two", "required_variables": [pin]}
    two = {"id": "two", "name": "Two", "instructions": "Help.", "greeting": {"text": "Thank you."}}
    async with open_desk() as desk:
        await desk.answer(agent(greeting="Hello, this is Acme.", paths=[path], agents=[two]))
        sipp = await asyncio.create_subprocess_exec(
            *(
                "sipp",
                desk.line.config.listen,
                "-sf",
                str(SCENARIO),
                "-s",
                NUMBER,
                "-i",
                "127.0.0.1",
                "-mi",
                "127.0.0.1",
            ),
            *(
                "-p",
                str(free_port()),
                "-m",
                str(CALLS),
                "-l",
                str(CALLS),
                "-r",
                str(CALLS),
                "-nostdin",
                "-timeout",
                "40s",
            ),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await asyncio.wait_for(sipp.communicate(), 60)
        assert sipp.returncode == 0, told.decode(errors="replace")[-2000:]
        results = [await desk.result(call) for call in desk.calls]
    assert len(results) == CALLS
    for result in results:
        assert result.row.end_reason == "caller_hangup"
        assert result.payloads("call_started")[0]["dialled"] == NUMBER
        assert "".join(key["digits"] for key in result.payloads("dtmf_received")) == "42"
        assert result.variables["pin_code"] == "42"
        assert result.said[0].startswith("Hello")
