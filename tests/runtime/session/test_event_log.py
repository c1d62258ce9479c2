from __future__ import annotations

import asyncio
import stat
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from runtime.session.dead_logs import read_chunk
from runtime.session.ports import EventRow
from runtime.session.records import Closed, Opened
from tests.runtime.session.log_bench import AT, QUICK, Bench, call_row, ended, lines, write


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "log")


async def test_a_call_reaches_the_store_row_first_events_in_order_row_last(bench: Bench) -> None:
    async with bench.log() as log:
        call = log.open_call(call_row())
        write(call, 3)
        await call.close(ended(call.row))
        assert (log.depth, log.lag_s) == (0, 0.0)
    assert bench.seqs() == [1, 2, 3]
    assert bench.store.order[0] == "open_call"
    assert bench.store.order[-1] == "close_call"
    assert bench.store.store.call_rows["s1"].status == "completed"


async def test_a_written_event_is_in_the_file_when_write_returns(bench: Bench) -> None:
    async with bench.log() as log:
        call = log.open_call(call_row())
        row = call.write("user_turn", MappingProxyType({"n": 1}), agent_id=None, occurred_at=AT, secret="gAAA")
        assert lines(bench.folder) == [Opened(call.row), row]
        await call.close(ended(call.row))
        assert lines(bench.folder)[-1] == Closed(ended(call.row))


async def test_only_the_owner_can_read_the_log(bench: Bench) -> None:
    async with bench.log() as log:
        write(log.open_call(call_row()))
        assert {stat.S_IMODE(path.stat().st_mode) for path in bench.folder.iterdir()} == {0o600}
        assert stat.S_IMODE(bench.folder.stat().st_mode) == 0o700


async def test_the_files_go_once_everything_is_stored(bench: Bench) -> None:
    async with bench.log() as log:
        call = log.open_call(call_row())
        write(call)
        await call.close(ended(call.row))
    assert list(bench.folder.iterdir()) == []
    assert bench.faults == []


async def test_stored_segments_are_deleted_while_the_call_goes_on(bench: Bench) -> None:
    async with bench.log(replace(QUICK, segment_bytes=2000)) as log:
        call = log.open_call(call_row())
        for _ in range(20):
            write(call, 5)
            assert await log.flush(1)
        await asyncio.sleep(0.03)
        (path,) = bench.folder.glob("*.ndjson")
        assert read_chunk(path, 0, 1).records == [Opened(call.row)]
        await call.close(ended(call.row))
    assert bench.seqs() == list(range(1, 101))


async def test_closing_a_call_waits_no_longer_than_it_may(bench: Bench) -> None:
    bench.store.hanging = True
    async with bench.log(timeout_s=0.01) as log:
        call = log.open_call(call_row())
        write(call)
        await call.close(ended(call.row), timeout_s=0.01)
        await call.close(ended(call.row), timeout_s=0.01)
        assert not await log.flush(0.01)
        assert log.depth == 3
    assert len(list(bench.folder.glob("*.ndjson"))) == 1


@pytest.mark.parametrize(("count", "largest"), [(50, 51), (450, 451), (2500, 1000)])
async def test_batches_grow_with_what_waits_up_to_a_thousand(bench: Bench, count: int, largest: int) -> None:
    async with bench.log(flush_s=5.0, max_batch=40) as log:
        write(log.open_call(call_row()), count)
        assert await log.flush(2)
    assert max(map(len, bench.store.sent)) in {largest, largest - 1}
    assert bench.seqs() == list(range(1, count + 1))


async def test_few_events_wait_for_the_flush_interval(bench: Bench) -> None:
    async with bench.log(flush_s=0.03, max_batch=1000) as log:
        call = log.open_call(call_row())
        for _ in range(4):
            write(call)
            await asyncio.sleep(0.002)
        assert bench.store.sent == []
        await asyncio.sleep(0.04)
        assert [len(batch) for batch in bench.store.sent] == [4]


async def test_listeners_hear_each_event_in_order_and_cannot_end_the_call(bench: Bench) -> None:
    heard: list[int] = []

    def broken(_: EventRow) -> None:
        raise ZeroDivisionError

    async with bench.log() as log:
        call = log.open_call(call_row())
        call.subscribe(broken)
        call.subscribe(lambda row: heard.append(row.seq))
        write(call, 3)
    assert heard == [1, 2, 3]


async def test_a_payload_that_is_no_json_takes_no_number(bench: Bench) -> None:
    async with bench.log() as log:
        call = log.open_call(call_row())
        for bad in ({"x": object()}, {"x": "\ud800"}):
            with pytest.raises(ValueError, match=r"event 1 \(user_turn\) of session s1 cannot be written as JSON"):
                call.write("user_turn", bad, agent_id=None, occurred_at=AT)
        write(call)
        assert call.last_seq == 1


async def test_a_resumed_call_goes_on_counting(bench: Bench) -> None:
    async with bench.log() as log:
        call = log.open_call(call_row(), last_seq=7)
        assert call.write("call_resumed", {}, agent_id=None, occurred_at=AT).seq == 8


async def test_a_closed_log_takes_nothing_and_closes_twice(bench: Bench) -> None:
    async with bench.log() as log:
        call = log.open_call(call_row())
    await log.aclose()
    with pytest.raises(RuntimeError, match="is closed"):
        write(call)


async def test_fifty_calls_share_one_writer(bench: Bench) -> None:
    async with bench.log() as log:
        calls = [log.open_call(call_row(f"s{number}")) for number in range(50)]
        for _ in range(20):
            for call in calls:
                write(call)
            await asyncio.sleep(0)
        await asyncio.gather(*(call.close(ended(call.row)) for call in calls))
    assert all(bench.seqs(f"s{number}") == list(range(1, 21)) for number in range(50))
    assert len(bench.store.sent) < 20
