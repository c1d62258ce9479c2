from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.session.drain import drain
from tests.fakes.store_outages import RowStore


def said_by(*arguments: str) -> list[Any]:
    """Run `log_process` and return what it says."""
    command = [sys.executable, "-m", "tests.runtime.session.log_process", *arguments]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=50, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


async def test_twenty_processes_killed_at_random_moments_lose_nothing_they_acknowledged(tmp_path: Path) -> None:
    (acknowledged,) = said_by("kill", str(tmp_path), "20")
    assert len(acknowledged) == 20
    assert sum(acknowledged.values()) > 100
    store = RowStore()
    report = await drain(tmp_path, cast("Any", store))
    assert (report.closed_as_lost, report.damaged, report.refused) == (report.calls, 0, 0)
    for name, count in acknowledged.items():
        events = await store.events(name)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        if count:
            assert len(events) - 1 >= count  # and the call_ended that the drain wrote
            assert events[-1].payload["reason"] == store.call_rows[name].end_reason == "worker_lost"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("session_id", ["stored", "drained"])
async def test_a_full_disk_costs_the_call_nothing(tmp_path: Path, session_id: str) -> None:
    said, *stored = said_by("full", str(tmp_path), session_id)
    assert said["size"] <= 8192
    assert said["faults"] == ["log_unwritable", "store_away"][: len(said["faults"])]
    assert said["last_seq"] == 200
    assert stored == ([200] if session_id == "stored" else [])
    store = RowStore()
    report = await drain(tmp_path, cast("Any", store))
    assert report.damaged == 0
    assert sorted(store.event_rows[session_id]) == list(range(1, 202))
