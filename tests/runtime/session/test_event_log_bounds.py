from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.session import local_log
from runtime.session.drain import drain
from runtime.session.event_log import CallLog, EventLog, Tuning
from runtime.session.log_bounds import DiskBound
from runtime.session.ports import EventRow
from tests.fakes.store_outages import RowStore
from tests.runtime.session.log_bench import AT, QUICK, Bench, call_row, ended, write

QUICKER = replace(QUICK, look_s=0.01, segment_bytes=2000)
MB = 1024 * 1024


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(local_log, "_RETRY_S", 0.0)
    return Bench(tmp_path / "log")


def codes(bench: Bench) -> list[str]:
    return [code for code, _ in bench.faults if code != "store_away"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)


async def filled(log: EventLog, call: CallLog, share: float) -> None:
    while log.fill < share:
        write(call)
    await asyncio.sleep(0)


def disk_use(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def test_the_alarm_sounds_once_before_the_log_is_full(bench: Bench) -> None:
    bench.store.away = True
    async with bench.log(QUICKER, max_bytes=MB) as log:
        call = log.open_call(call_row())
        assert log.fill < 0.1
        await filled(log, call, 0.72)
        await until(lambda: "log_filling" in codes(bench))
        assert not log.full
        await filled(log, call, 0.92)
        await until(lambda: "log_full" in codes(bench))
        assert log.full
        bench.store.away = False
        assert await log.flush(5)
        assert log.fill < 0.2
        assert not log.full
    assert codes(bench) == ["log_filling", "log_full"]


async def test_a_log_that_was_emptied_sounds_the_alarm_anew(bench: Bench) -> None:
    async with bench.log(QUICKER, max_bytes=MB) as log:
        call = log.open_call(call_row())
        for times in (1, 2):
            bench.store.away = True
            await filled(log, call, 0.72)
            await until(lambda: len(codes(bench)) == times)  # noqa: B023 - it is over before the next time
            bench.store.away = False
            assert await log.flush(5)
            await log._local.bound.look()
    assert codes(bench) == ["log_filling"] * 2


async def test_beyond_its_bound_the_log_is_in_memory_and_nothing_is_lost(bench: Bench) -> None:
    bench.store.away = True
    async with bench.log(QUICKER, timeout_s=5, max_bytes=MB) as log:
        call = log.open_call(call_row())
        write(call, 6000)
        assert disk_use(bench.folder) <= MB
        assert log.fill == 1.0
        assert log._backlog.in_memory_only
        await until(lambda: "log_unwritable" in codes(bench))
        bench.store.away = False
        await call.close(ended(call.row))
        assert await log.flush(10)
    assert bench.seqs() == list(range(1, 6001))
    assert "log_unwritable" in codes(bench)
    assert list(bench.folder.iterdir()) == []


async def test_what_others_left_in_the_folder_counts(bench: Bench) -> None:
    bench.folder.mkdir()
    (bench.folder / "refused.ndjson").write_bytes(b"x" * MB)
    async with bench.log(max_bytes=MB) as log:
        assert log.full
        call = log.open_call(call_row())
        write(call, 3)
        await call.close(ended(call.row))
    assert bench.seqs() == [1, 2, 3]


async def test_the_log_takes_at_most_half_of_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter((1000 * MB, 10 * MB, 0))
    monkeypatch.setattr("runtime.session.log_bounds._free", lambda _: next(free))
    faults: list[str] = []
    bound = DiskBound(tmp_path, "mine", 4096 * MB, lambda code, _: faults.append(code))
    await bound.look()
    bound.take(400 * MB)
    assert bound.fill == pytest.approx(0.8)
    with pytest.raises(OSError, match=r"PATCHBAY_LOG_MAX_MB") as found:
        bound.take(101 * MB)
    assert found.value.errno == errno.EDQUOT
    bound.give(398 * MB)
    await bound.look()
    assert bound.fill == pytest.approx(2 / 12)  # others have filled the disk
    await bound.look()
    assert (bound.fill, faults) == (1.0, ["log_filling", "log_full"])


def nothing_more(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def finish(log: EventLog, number: int, events: int) -> None:
    call = log.open_call(call_row(f"ended-{number:02}"))
    write(call, 1, "call_started")
    write(call, events - 2)
    call.write("call_ended", {"status": "completed"}, agent_id=None, occurred_at=AT)
    log._put(local_close(call))
    log._forget(call.row.id)


def local_close(call: CallLog) -> Any:
    from runtime.session.records import Closed  # noqa: PLC0415

    return Closed(ended(call.row))


async def test_memory_is_bounded_by_calls_that_have_ended_and_never_by_those_that_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.store.away = True
    async with bench.log(replace(QUICK, memory_bytes=200_000), timeout_s=5) as log:
        running = log.open_call(call_row("running"))
        write(running, 10, "call_started")
        monkeypatch.setattr(local_log.LocalLog, "append", lambda *_: None)
        for number in range(20):
            finish(log, number, 100)
            write(running, 10)
            assert log._backlog._unwritten.size < 260_000
        assert log._backlog._unwritten.given_up > 0
        monkeypatch.undo()
        monkeypatch.setattr(local_log, "_RETRY_S", 0.0)
        bench.store.away = False
        assert await log.flush(5)
        assert not log._backlog.in_memory_only or log.depth == 0
    assert bench.seqs("running") == list(range(1, 211))
    lengths = [len(bench.seqs(f"ended-{number:02}")) for number in range(20)]
    assert lengths == sorted(lengths)  # the oldest went first
    assert (lengths[0], lengths[-1]) == (3, 100)
    for number, length in enumerate(lengths):
        rows = bench.store.store.event_rows[f"ended-{number:02}"]
        assert sorted(rows) == list(range(1, length + 1))
        assert (rows[1].event_type, rows[length].event_type) == ("call_started", "call_ended")
        assert bench.store.store.call_rows[f"ended-{number:02}"].status == "completed"
    fault = bench.store.store.event_rows["ended-00"][2]
    assert (fault.event_type, fault.payload["code"]) == ("fault_raised", "events_given_up")
    assert fault.payload["message"].startswith("98 events")
    assert codes(bench) == ["events_given_up"]


async def test_what_is_on_its_way_to_the_store_is_not_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store.hanging = True
    async with bench.log(replace(QUICK, memory_bytes=30_000, send_timeout_s=5), timeout_s=5) as log:
        monkeypatch.setattr(local_log.LocalLog, "append", lambda *_: None)
        finish(log, 0, 100)
        await until(lambda: bool(log._backlog._taken))
        finish(log, 1, 100)
        monkeypatch.undo()
        bench.store.hanging = False
        log._writer._backoff.reset()
        assert await log.flush(8)
    assert (len(bench.seqs("ended-00")), len(bench.seqs("ended-01"))) == (100, 3)


async def test_while_the_store_is_away_each_turn_brings_the_log_to_the_disk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the store there, once in five turns is enough: what is stored is safe."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    bench.store.away = True
    async with bench.log(timeout_s=5) as log:
        call = log.open_call(call_row())
        write(call)
        await until(lambda: log.lag_s > 3 * QUICK.sync_s)
        turns, own = [len(synced)], log._backlog.catch_up

        def turn() -> None:
            write(call)
            turns.append(len(synced))
            own()

        monkeypatch.setattr(log._backlog, "catch_up", turn)
        await until(lambda: len(turns) > 21)
        monkeypatch.undo()
        bench.store.away = False
        assert turns[21] - turns[1] == 20
        await call.close(ended(call.row))


async def test_a_disk_that_stands_still_is_as_one_that_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_log, "_STALLED_S", 0.02)
    standing, moving = threading.Event(), threading.Event()

    def stall(_: int) -> None:
        standing.set()
        moving.wait(10)

    monkeypatch.setattr(os, "fsync", stall)
    bench.store.away = True
    async with bench.log(timeout_s=5) as log:
        call = log.open_call(call_row())
        write(call, 5)
        await asyncio.to_thread(standing.wait, 5)
        await asyncio.sleep(0.03)
        size = disk_use(bench.folder)
        write(call, 5)
        assert disk_use(bench.folder) == size
        await until(lambda: "log_unwritable" in codes(bench))
        assert "has not answered" in dict(bench.faults)["log_unwritable"]
        moving.set()
        await until(lambda: not log._backlog.in_memory_only)
        assert disk_use(bench.folder) > size
        bench.store.away = False
        await call.close(ended(call.row))
    assert bench.seqs() == list(range(1, 11))


async def test_a_running_process_drains_those_that_die_beside_it(bench: Bench) -> None:
    async with bench.log(replace(QUICK, look_s=0.01)) as log:
        dying = await EventLog.open(bench.folder, cast("Any", bench.store), flush_s=60, tuning=Tuning(look_s=60))
        call = dying.open_call(call_row())
        write(call, 5)
        await log.look()
        assert bench.seqs() == []
        for task in dying._tasks:
            task.cancel()
        await asyncio.gather(*dying._tasks, return_exceptions=True)
        os.close(cast("int", dying._local._lock))  # what its death would do
        await until(lambda: bench.seqs() == [1, 2, 3, 4, 5, 6])
        row: EventRow = bench.store.store.event_rows["s1"][6]
        assert (row.event_type, row.payload["reason"]) == ("call_ended", "worker_lost")


async def test_a_process_killed_at_its_bound_leaves_what_the_disk_had(bench: Bench) -> None:
    bench.store.away = True
    async with bench.log(QUICKER, timeout_s=0.01, max_bytes=MB) as log:
        write(log.open_call(call_row()), 6000)
    store = RowStore()
    report = await drain(bench.folder, cast("Any", store))
    assert (report.damaged, report.events) == (0, len(store.event_rows["s1"]) - 1)
    assert sorted(store.event_rows["s1"]) == list(range(1, report.events + 2))
