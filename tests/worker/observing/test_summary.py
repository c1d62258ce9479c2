"""One line sums up each call."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.logging import configure_logging
from tests.runtime.test_logging import _as_before
from tests.worker.observing.events import CALLER, DIALLED, SESSION, WORDS, play, whole_call, written_call
from worker.observing.summary import CallSummary, Subject

__all__ = ["_as_before"]


async def test_a_call_is_one_line(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with written_call(tmp_path) as log:
            log.subscribe(CallSummary(log, Subject("Acme", 3)))
            whole_call(log)
    (line,) = [entry for entry in logs if entry["event"] == "call_summary"]
    assert {key: value for key, value in line.items() if key != "organization_id"} == {
        "event": "call_summary",
        "log_level": "info",
        "session_id": SESSION,
        "workflow": "Acme",
        "version": 3,
        "workflow_version_id": None,
        "channel": "phone",
        "direction": "inbound",
        "is_test": False,
        "pii_from_number": CALLER,
        "pii_to_number": DIALLED,
        "status": "completed",
        "reason": "transferred",
        "duration_ms": 11000,
        "turns": 2,
        "agents": ["Desk", "Billing"],
        "paths_taken": 1,
        "paths_refused": 1,
        "tools": {"check_order: timeout": 1},
        "faults": {"llm.models_unavailable": 1},
        "interruptions": 1,
        "transfers": 1,
        "response_p50_ms": 700,
        "response_max_ms": 900,
        "first_sound_ms": 500,
    }


async def test_a_call_in_which_nobody_spoke(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with written_call(tmp_path) as log:
            log.subscribe(CallSummary(log, Subject()))
            play(log, "call_started", 0, channel="phone", direction="inbound")
            play(log, "call_ended", 9, status="dropped", reason="connection_lost", duration_ms=9, turns=0)
    (line,) = [entry for entry in logs if entry["event"] == "call_summary"]
    assert (line["response_p50_ms"], line["response_max_ms"], line["first_sound_ms"]) == (None, None, None)
    assert (line["agents"], line["tools"], line["faults"], line["workflow"]) == ([], {}, {}, None)


@pytest.fixture
def stream(_as_before: Iterator[None]) -> io.StringIO:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    return stream


async def test_the_callers_number_and_words_stay_out_of_the_log(tmp_path: Path, stream: io.StringIO) -> None:
    async with written_call(tmp_path) as log:
        log.subscribe(CallSummary(log, Subject("Acme", 3)))
        whole_call(log)
    lines: list[dict[str, Any]] = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines].count("call_summary") == 1
    for personal in (CALLER, DIALLED, WORDS, "4271", "+15550177"):
        assert personal not in stream.getvalue()
