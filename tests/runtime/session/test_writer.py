"""Two batches on their way at once: in order within each session, whatever becomes of the other batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from runtime.errors import StoreUnreachable
from runtime.session.ports import EventRow
from runtime.tasks import spawn
from tests.fakes.store_outages import RowStore, StoreOutages
from tests.runtime.session.log_bench import QUICK, Bench, call_row, ended, write
from tests.worker.waiting import until

SESSIONS = ("s1", "s2", "s3", "s4")
EACH = 400
"""Together more than one batch holds, and less than two."""
PATIENT = replace(QUICK, drain_wait_s=30.0)


@dataclass
class PairedStore(RowStore):
    """Holds its first batch until a second is on its way, and the second until the first is through; either may fail."""

    fail_first: bool = False
    fail_second: bool = False
    begun: list[list[EventRow]] = field(default_factory=list)
    over: list[int] = field(default_factory=list)
    both: asyncio.Event = field(default_factory=asyncio.Event)
    first_over: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        super().__init__()

    async def append(self, events: Sequence[EventRow]) -> None:
        number = len(self.begun)
        self.begun.append(list(events))
        if number:
            self.both.set()
            await self.first_over.wait()
            await asyncio.sleep(0.05 if number == 1 else 0)  # longer than a writer waits that does not wait for it
        await self.both.wait()
        try:
            if (self.fail_first, self.fail_second)[number : number + 1] == (True,):
                raise StoreUnreachable("The store is away.")
            await super().append(events)
        finally:
            self.over.append(number)
            self.first_over.set()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "log")


def paired(tmp_path: Path, store: PairedStore) -> Bench:
    return Bench(tmp_path / "log", StoreOutages(store))


def sessions(batch: Sequence[EventRow]) -> set[str]:
    return {event.session_id for event in batch}


async def written(bench: Bench) -> None:
    """Write four calls' events in turn, as many as two batches hold, before the writer looks."""
    async with bench.log(PATIENT, timeout_s=30, flush_s=0.01, max_batch=10_000) as log:
        calls = [log.open_call(call_row(session)) for session in SESSIONS]
        for _ in range(EACH):
            for call in calls:
                write(call)
        assert await log.flush(30)
        for call in calls:
            await call.close(ended(call.row), timeout_s=30)


def assert_in_order(batches: Sequence[Sequence[EventRow]]) -> None:
    for session in SESSIONS:
        seqs = [event.seq for batch in batches for event in batch if event.session_id == session]
        assert seqs == list(range(1, EACH + 1)), session


async def test_two_batches_are_on_their_way_at_once_with_sessions_of_their_own(tmp_path: Path) -> None:
    store = PairedStore()
    bench = paired(tmp_path, store)
    await written(bench)
    assert [sessions(batch) for batch in store.begun] == [{"s1", "s3"}, {"s2", "s4"}]
    assert_in_order(store.begun)
    assert all(row.status == "completed" for row in store.call_rows.values())
    assert list(bench.folder.iterdir()) == []


async def test_what_the_first_batch_lost_comes_again_without_what_the_second_stored(tmp_path: Path) -> None:
    store = PairedStore(fail_first=True)
    bench = paired(tmp_path, store)
    await written(bench)
    assert store.over[:2] == [0, 1], "the second batch is through before anything is taken again"
    assert [sessions(batch) for batch in store.begun[2:]] == [{"s1", "s3"}]
    assert_in_order(store.begun[1:])
    assert [code for code, _ in bench.faults] == ["store_away"]


async def test_what_the_second_batch_lost_comes_again_without_what_the_first_stored(tmp_path: Path) -> None:
    store = PairedStore(fail_second=True)
    bench = paired(tmp_path, store)
    await written(bench)
    assert [sessions(batch) for batch in store.begun[2:]] == [{"s2", "s4"}]
    assert_in_order([store.begun[0], *store.begun[2:]])


@pytest.mark.parametrize("answers", [1, 2, 3])
async def test_batches_whose_answers_are_lost_leave_one_row_each(bench: Bench, answers: int) -> None:
    bench.store.lost_answers = answers
    await written(bench)
    for session in SESSIONS:
        assert bench.seqs(session) == list(range(1, EACH + 1))
    assert bench.store.lost_answers == 0


async def test_a_refused_event_holds_up_neither_batch(bench: Bench) -> None:
    bench.store.refuse = lambda row: isinstance(row, EventRow) and row.event_type == "poison"
    async with bench.log(flush_s=0.01, max_batch=10_000) as log:
        calls = [log.open_call(call_row(session)) for session in SESSIONS]
        for number in range(EACH):
            for call in calls:
                write(call, event_type="poison" if number == 6 and call is calls[1] else "user_turn")
        assert await log.flush(30)
    for session in SESSIONS:
        assert bench.seqs(session) == list(range(1, EACH + 1))
    rows = [row for events in bench.store.store.event_rows.values() for row in events.values()]
    faults = [(row.session_id, row.seq) for row in rows if row.event_type == "fault_raised"]
    assert faults == [("s2", 7)]


async def test_what_two_batches_held_at_the_end_is_drained_by_the_next_start(bench: Bench) -> None:
    bench.store.hanging = True
    async with bench.log(timeout_s=0.05, max_batch=10_000) as log:
        calls = [log.open_call(call_row(session)) for session in SESSIONS]
        for _ in range(EACH):
            for call in calls:
                write(call)
        for call in calls:
            await call.close(ended(call.row), timeout_s=0)
    bench.store.hanging = False
    async with bench.log(PATIENT):
        pass
    for session in SESSIONS:
        assert bench.seqs(session) == list(range(1, EACH + 1))


async def test_one_long_session_goes_batch_by_batch(bench: Bench) -> None:
    async with bench.log(flush_s=0.01, max_batch=10_000) as log:
        write(log.open_call(call_row()), 1800)
        assert await log.flush(30)
    assert [len(batch) for batch in bench.store.sent] == [999, 801]
    assert bench.seqs() == list(range(1, 1801))


class OneSidedStore(RowStore):
    """Refuses to take what is of `away`."""

    away = frozenset({"s1"})

    async def append(self, events: Sequence[EventRow]) -> None:
        if any(event.session_id in self.away for event in events):
            raise StoreUnreachable("The store is away.")
        await super().append(events)


async def test_a_call_is_stored_when_its_own_records_are_however_many_later_ones_are(tmp_path: Path) -> None:
    store = OneSidedStore()
    bench = Bench(tmp_path / "log", StoreOutages(store))
    async with bench.log(PATIENT, timeout_s=30, flush_s=0.01, max_batch=10_000) as log:
        call, other = (log.open_call(call_row(session)) for session in ("s1", "s2"))
        write(call, 300)
        stored = spawn(call.close(ended(call.row), timeout_s=30), name="close")
        flushed = spawn(log.flush(30), name="flush")
        await asyncio.sleep(0)
        write(other, 900)
        await until(lambda: len(store.event_rows.get("s2", ())) == 900)
        await asyncio.sleep(0.05)
        assert (stored.done(), flushed.done(), store.call_rows["s1"].status) == (False, False, "active")
        store.away = frozenset()
        await stored
        assert await flushed
        assert (len(store.event_rows["s1"]), store.call_rows["s1"].status) == (300, "completed")
        await other.close(ended(other.row), timeout_s=30)
