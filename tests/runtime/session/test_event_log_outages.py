from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.session.dead_logs import read_chunk
from runtime.session.ports import CallRow, EventRow
from tests.runtime.session.log_bench import QUICK, Bench, call_row, ended, write


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "log")


async def test_an_outage_costs_the_call_nothing_and_loses_nothing(bench: Bench) -> None:
    bench.store.away = True
    async with bench.log() as log:
        call = log.open_call(call_row())
        write(call, 50)
        await asyncio.sleep(0.02)
        write(call, 50)
        assert log.depth == 101
        assert log.lag_s > 0.01
        bench.store.away = False
        assert await log.flush(2)
    assert bench.seqs() == list(range(1, 101))
    assert [event.seq for batch in bench.store.sent for event in batch] == list(range(1, 101))
    assert [code for code, _ in bench.faults] == ["store_away"]


async def test_what_was_not_stored_is_drained_by_the_next_start(bench: Bench) -> None:
    bench.store.away = True
    async with bench.log(timeout_s=0.01) as log:
        call = log.open_call(call_row())
        write(call, 5)
        await call.close(ended(call.row), timeout_s=0.01)
    bench.store.away = False
    async with bench.log():
        assert bench.seqs() == [1, 2, 3, 4, 5]
    assert bench.store.store.call_rows["s1"].end_reason == "caller_hangup"
    assert list(bench.folder.iterdir()) == []


async def test_the_drain_goes_on_in_the_background_when_the_store_is_away_at_the_start(bench: Bench) -> None:
    bench.store.away = True
    async with bench.log(timeout_s=0.01) as log:
        call = log.open_call(call_row())
        write(call, 2)
        await call.close(ended(call.row), timeout_s=0.01)
    async with bench.log() as log:
        assert bench.seqs() == []
        bench.store.away = False
        await log.look()
        assert bench.seqs() == [1, 2]


async def test_a_batch_whose_answer_is_lost_leaves_one_row_each(bench: Bench) -> None:
    async with bench.log() as log:
        call = log.open_call(call_row())
        write(call, 10)
        bench.store.lost_answers = 3
        assert await log.flush(2)
    assert bench.seqs() == list(range(1, 11))


async def test_a_refused_event_holds_up_no_other_and_leaves_no_gap(bench: Bench) -> None:
    bench.store.refuse = lambda row: isinstance(row, EventRow) and row.event_type == "poison"
    async with bench.log() as log:
        call, other = log.open_call(call_row()), log.open_call(call_row("s2"))
        write(call, 20)
        write(call, 1, "poison")
        write(call, 20)
        write(other, 5)
        await call.close(ended(call.row))
        await other.close(ended(other.row))
    assert bench.seqs() == list(range(1, 42))
    assert bench.seqs("s2") == [1, 2, 3, 4, 5]
    stand_in = bench.store.store.event_rows["s1"][21]
    assert (stand_in.event_type, stand_in.payload["code"]) == ("fault_raised", "row_refused")
    ((code, message),) = bench.faults
    assert code == "row_refused"
    assert "event 21 (poison) of session s1 (ValueError)" in message
    assert "secret detail" not in message
    refused = read_chunk(bench.folder / "refused.ndjson", 0, 10)
    assert [cast("Any", record).seq for record in refused.records] == [21]
    assert b"secret detail" in (bench.folder / "refused.ndjson").read_bytes()


async def test_a_refused_call_row_is_stored_without_what_may_be_at_fault(bench: Bench) -> None:
    bench.store.refuse = lambda row: isinstance(row, CallRow) and row.workflow_version_id is not None
    async with bench.log() as log:
        call = log.open_call(call_row())
        write(call, 3)
        await call.close(ended(call.row))
    assert bench.seqs() == [1, 2, 3]
    assert bench.store.store.call_rows["s1"].status == "completed"


async def test_a_session_that_cannot_be_stored_is_set_aside_whole(bench: Bench) -> None:
    bench.store.refuse = lambda row: isinstance(row, CallRow) and row.id == "s1"
    async with bench.log() as log:
        call, other = log.open_call(call_row()), log.open_call(call_row("s2"))
        write(call, 3)
        write(other, 3)
        await call.close(ended(call.row))
        await other.close(ended(other.row))
    assert (bench.seqs("s1"), bench.seqs("s2")) == ([], [1, 2, 3])
    assert len(read_chunk(bench.folder / "refused.ndjson", 0, 10).records) == 5


async def test_memory_is_bounded_during_an_outage_and_the_order_kept(bench: Bench) -> None:
    bench.store.away = True
    async with bench.log(replace(QUICK, memory=10, segment_bytes=20_000)) as log:
        calls = [log.open_call(call_row(f"s{number}")) for number in range(3)]
        for _ in range(200):
            for call in calls:
                write(call)
            await asyncio.sleep(0)
        assert log.depth == 603
        assert log._backlog._held <= 10
        assert len(log._backlog._items) < 60
        bench.store.away = False
        assert await log.flush(5)
        write(calls[0], 3)
        for call in calls:
            await call.close(ended(call.row))
    sent = [(event.session_id, event.seq) for batch in bench.store.sent for event in batch]
    assert [seq for session_id, seq in sent if session_id == "s0"] == list(range(1, 204))
    assert [seq for session_id, seq in sent if session_id == "s2"] == list(range(1, 201))
    assert list(bench.folder.iterdir()) == []


async def test_a_log_that_cannot_be_read_back_is_reported_and_holds_up_nothing(bench: Bench) -> None:
    bench.store.away = True
    async with bench.log(replace(QUICK, memory=5)) as log:
        call = log.open_call(call_row())
        write(call, 20)
        await asyncio.sleep(0.02)
        for path in bench.folder.glob("*.ndjson"):
            path.unlink()
        bench.store.away = False
        await call.close(ended(call.row))
        assert log.depth == 0
    assert [code for code, _ in bench.faults] == ["store_away", "log_unreadable"]


async def test_a_silent_store_is_asked_again(bench: Bench) -> None:
    bench.store.hanging = True
    async with bench.log(replace(QUICK, send_timeout_s=0.01)) as log:
        write(log.open_call(call_row()))
        await asyncio.sleep(0.03)
        bench.store.hanging = False
        assert await log.flush(1)
    assert bench.faults[0][0] == "store_away"


async def test_a_call_that_was_not_closed_leaves_its_file_to_the_next_start(bench: Bench) -> None:
    async with bench.log() as log:
        write(log.open_call(call_row()), 2)
    assert len(list(bench.folder.glob("*.ndjson"))) == 1
    async with bench.log():
        pass
    assert bench.store.store.call_rows["s1"].end_reason == "worker_lost"
    assert bench.store.store.event_rows["s1"][3].event_type == "call_ended"
