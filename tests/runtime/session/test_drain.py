from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.errors import StoreUnreachable
from runtime.session.dead_logs import DeadLog, dead_logs, read_chunk
from runtime.session.drain import DrainReport, drain
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, EventRow
from runtime.session.records import Closed, Opened, Record, encode
from runtime.store.memory import MemoryStore
from tests.fakes.store_outages import RowStore, StoreOutages

AT = datetime(2026, 5, 3, 10, tzinfo=UTC)
CALL = CallRow("s1", "org", None, "phone", "inbound", is_test=False, started_at=AT)
ENDED = {"turn": 2, "elapsed_ms": 900, "status": "completed", "reason": "agent_hangup", "variables": {"x": 1}}


def event(seq: int, event_type: str = "user_turn", **payload: Any) -> EventRow:
    common = {"v": 1, "turn": seq // 2, "elapsed_ms": 100 * seq, "caused_by": None}
    return EventRow("s1", "org", seq, event_type, common | payload, "a1", AT + timedelta(milliseconds=100 * seq))


def leave(folder: Path, *files: Sequence[Record], name: str = "20260503T100000-1-aaaa") -> None:
    for index, records in enumerate(files, 1):
        (folder / f"{name}.{index:06d}.ndjson").write_bytes(b"".join(map(encode, records)))


@pytest.fixture
def store() -> StoreOutages:
    return StoreOutages(RowStore())


async def drained(folder: Path, store: StoreOutages) -> DrainReport:
    return await drain(folder, cast("Any", store))


async def test_nothing_to_drain(tmp_path: Path, store: StoreOutages) -> None:
    assert await drained(tmp_path / "none", store) == DrainReport()


async def test_a_call_that_ended_is_stored_as_it_ended(tmp_path: Path, store: StoreOutages) -> None:
    row = replace(CALL, status="completed", end_reason="caller_hangup")
    leave(tmp_path, [Opened(CALL), event(1), event(2, "call_ended"), Closed(row)])
    assert await drained(tmp_path, store) == DrainReport(files=1, calls=1, events=2)
    assert store.store.call_rows["s1"] == row
    assert list(tmp_path.iterdir()) == []


async def test_a_lost_call_ends_at_its_last_sign_of_life(tmp_path: Path, store: StoreOutages) -> None:
    collected = event(2, "variable_collected", name="customer_id", value="4271")
    leave(tmp_path, [Opened(CALL), event(1, "call_started"), collected, event(3), event(4)])
    assert await drained(tmp_path, store) == DrainReport(files=1, calls=1, events=4, closed_as_lost=1)
    last = (await store.events("s1"))[-1]
    assert (last.seq, last.event_type, last.occurred_at) == (5, "call_ended", event(4).occurred_at)
    assert last.payload == {
        "v": 1,
        "turn": 2,
        "elapsed_ms": 400,
        "caused_by": None,
        "status": "dropped",
        "reason": "worker_lost",
        "duration_ms": 400,
        "turns": 2,
        "variables": {"customer_id": "4271"},
    }
    row = await store.call("s1")
    assert (row.status, row.end_reason, row.ended_at) == ("dropped", "worker_lost", last.occurred_at)
    assert row.variables == {"customer_id": "4271"}


async def test_what_had_started_fails_before_the_lost_call_ends(tmp_path: Path, store: StoreOutages) -> None:
    done = event(1, "tool_started", tool_call_id="t1"), event(2, "tool_succeeded", tool_call_id="t1")
    running = (
        event(3, "tool_started", tool_call_id="t2", name="check"),
        event(4, "transfer_started", to="+49", mode="refer"),
    )
    leave(tmp_path, [Opened(CALL), *done, *running, event(6)])
    store.store.call_rows["s1"] = CALL
    await store.append([event(5)])
    await drained(tmp_path, store)
    failed, transfer, ended = (await store.events("s1"))[6:]
    assert (failed.seq, failed.event_type, failed.payload["caused_by"]) == (7, "tool_failed", 3)
    assert (failed.payload["error_code"], failed.payload["name"], failed.payload["duration_ms"]) == (
        "worker_lost",
        "check",
        300,
    )
    assert (transfer.seq, transfer.event_type, transfer.payload["sip_status"]) == (8, "transfer_failed", None)
    assert (ended.seq, ended.event_type) == (9, "call_ended")


async def test_a_call_that_wrote_its_end_but_not_its_row_is_closed_as_it_says(
    tmp_path: Path, store: StoreOutages
) -> None:
    leave(tmp_path, [Opened(CALL), event(1), event(2, "call_ended", **ENDED)])
    await drained(tmp_path, store)
    row = await store.call("s1")
    assert (row.status, row.end_reason, row.variables) == ("completed", "agent_hangup", {"x": 1})
    assert len(await store.events("s1")) == 2


async def test_a_call_without_events_has_only_its_row_closed(tmp_path: Path, store: StoreOutages) -> None:
    leave(tmp_path, [Opened(CALL)])
    assert (await drained(tmp_path, store)).closed_as_lost == 1
    assert (await store.events("s1"), (await store.call("s1")).end_reason) == ([], "worker_lost")


async def test_a_call_over_several_files_is_one_call(tmp_path: Path, store: StoreOutages) -> None:
    leave(tmp_path, [Opened(CALL), event(1), event(2)], [Opened(CALL), event(3)], [Opened(CALL)])
    assert await drained(tmp_path, store) == DrainReport(files=3, calls=1, events=3, closed_as_lost=1)
    assert [row.seq for row in await store.events("s1")] == [1, 2, 3, 4]


async def test_draining_twice_is_draining_once(tmp_path: Path, store: StoreOutages) -> None:
    for _ in range(2):
        leave(tmp_path, [Opened(CALL), event(1)])
        await drained(tmp_path, store)
    assert [row.event_type for row in await store.events("s1")] == ["user_turn", "call_ended"]


async def test_a_call_that_was_closed_already_or_goes_on_elsewhere_is_left_alone(
    tmp_path: Path, store: StoreOutages
) -> None:
    store.store.call_rows["s1"] = CALL
    await store.append([event(1), event(2, "call_resumed", worker_id="w2"), event(3)])
    leave(tmp_path, [Opened(CALL), event(1)])
    assert (await drained(tmp_path, store)).closed_as_lost == 0
    await store.close_call(replace(CALL, status="completed", end_reason="agent_hangup"))
    leave(tmp_path, [Opened(CALL), event(1), event(2), event(3)])
    assert (await drained(tmp_path, store)).closed_as_lost == 0
    assert (await store.call("s1")).end_reason == "agent_hangup"


async def test_a_call_that_was_taken_over_and_not_yet_resumed_is_left_alone(
    tmp_path: Path, store: StoreOutages
) -> None:
    store.store.call_rows["s1"] = replace(CALL, epoch=2, worker_id="w2")
    leave(tmp_path, [Opened(CALL), event(1)])
    assert (await drained(tmp_path, store)).closed_as_lost == 0
    assert (await store.call("s1")).status == "active"
    leave(tmp_path, [Opened(replace(CALL, epoch=2))])
    assert (await drained(tmp_path, store)).closed_as_lost == 1, "its new owner died as well"
    assert [(row.event_type, row.epoch) for row in await store.events("s1")] == [("user_turn", 1), ("call_ended", 2)]


async def test_a_store_that_is_away_loses_nothing(tmp_path: Path, store: StoreOutages) -> None:
    leave(tmp_path, [Opened(CALL), event(1)])
    store.away = True
    with pytest.raises(StoreUnreachable):
        await drained(tmp_path, store)
    store.away = False
    assert (await drained(tmp_path, store)).events == 1


async def test_damaged_lines_are_kept_for_a_person_and_the_others_stored(tmp_path: Path, store: StoreOutages) -> None:
    leave(tmp_path, [Opened(CALL), event(1), event(2)])
    (path,) = tmp_path.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"#" + lines[1] + lines[2] + lines[2][:30])
    report = await drained(tmp_path, store)
    assert (report.damaged, report.events) == (1, 1)
    assert [kept.suffix for kept in tmp_path.iterdir()] == [".damaged"]


async def test_the_log_of_a_living_process_is_not_touched(tmp_path: Path, store: StoreOutages) -> None:
    other = StoreOutages(RowStore())
    other.away = True
    log = await EventLog.open(tmp_path, cast("Any", other), flush_s=0.005)
    call = log.open_call(CALL)
    call.write("user_turn", {}, agent_id=None, occurred_at=AT)
    assert await drained(tmp_path, store) == DrainReport()
    await log.aclose(timeout_s=0.01)
    assert (await drained(tmp_path, store)).events == 1


async def test_the_store_in_memory_takes_what_is_drained(tmp_path: Path) -> None:
    store = MemoryStore()
    call = replace(CALL, organization_id=(await store.ensure_organization("acme")).id)
    leave(tmp_path, [Opened(call), event(1, "call_started"), event(2)])
    assert await drain(tmp_path, store) == DrainReport(files=1, calls=1, events=2, closed_as_lost=1)
    assert [row.event_type for row in await store.events("s1")] == ["call_started", "user_turn", "call_ended"]
    assert (await store.call("s1")).end_reason == "worker_lost"


async def test_several_dead_processes_are_drained_the_oldest_first(tmp_path: Path, store: StoreOutages) -> None:
    leave(tmp_path, [Opened(CALL), event(3)], name="20260503T110000-2-bbbb")
    leave(tmp_path, [Opened(CALL), event(1), event(2)], name="20260503T100000-9-aaaa")
    assert (await drained(tmp_path, store)).files == 2
    assert [row.seq for batch in store.sent for row in batch][:2] == [1, 2]


async def test_a_call_that_somebody_may_take_over_is_sent_and_not_ended(tmp_path: Path, store: StoreOutages) -> None:
    asked: list[str] = []

    async def ends(row: CallRow) -> bool:
        asked.append(row.id)
        return row.room is None

    for number, room in enumerate(("room-1", None)):
        call = replace(CALL, id=f"s{number}", room=room)
        events = [replace(event(seq, name), session_id=call.id) for seq, name in enumerate(("call_started", "x"), 1)]
        leave(tmp_path, [Opened(call), *events], name=f"20260503T10000{number}-1-aaaa")
    report = await drain(tmp_path, cast("Any", store), ends=ends)
    assert report == DrainReport(files=2, calls=2, events=4, closed_as_lost=1, left=1)
    assert asked == ["s0", "s1"]
    assert [(await store.call(name)).status for name in ("s0", "s1")] == ["active", "dropped"]
    assert [row.event_type for row in await store.events("s0")] == ["call_started", "x"]
    assert list(tmp_path.iterdir()) == []


async def test_unless_told_otherwise_nobody_ends_a_call_that_can_go_on(tmp_path: Path) -> None:
    """In a room and leased it can; on a worker's own line, or once nobody owns it, it cannot."""
    store = MemoryStore()
    organization = (await store.ensure_organization("acme")).id
    room = replace(CALL, organization_id=organization, worker_id="w1", room="room-1")
    calls = {"left": room, "own-line": replace(room, room=None), "unowned": replace(room, worker_id=None)}
    for number, (name, call) in enumerate(calls.items()):
        row = replace(call, id=name)
        started = replace(event(1, "call_started"), session_id=name, organization_id=organization)
        leave(tmp_path, [Opened(row), started], name=f"20260503T10000{number}-1-aaaa")
    log = await EventLog.open(tmp_path, store)  # as the API, the CLI and workers do
    await log.aclose()
    assert [(await store.call(name)).end_reason for name in calls] == [None, "worker_lost", "worker_lost"]
    assert [each.event_type for each in await store.events("left")] == ["call_started"]
    lease = await store.lease("left")
    assert lease is not None
    assert lease.worker_id == "w1"
    assert not list(tmp_path.glob("*.ndjson"))


async def test_a_call_that_wrote_its_end_is_closed_whoever_may_take_it_over(
    tmp_path: Path, store: StoreOutages
) -> None:
    async def never(_: CallRow) -> bool:
        return False

    leave(tmp_path, [Opened(CALL), event(1, "call_started"), event(2, "call_ended", **ENDED)])
    assert (await drain(tmp_path, cast("Any", store), ends=never)).left == 0
    assert (await store.call("s1")).status == "completed"


async def test_what_the_store_refuses_while_draining_is_set_aside_and_the_rest_of_its_batch_is_stored(
    tmp_path: Path, store: StoreOutages
) -> None:
    store.refuse = lambda row: isinstance(row, EventRow) and row.event_type == "poison"
    other = replace(CALL, id="s2")
    others = [replace(event(seq), session_id="s2") for seq in range(1, 51)]
    mine = [event(seq, "poison" if seq in {7, 8, 30} else "user_turn") for seq in range(1, 51)]
    mixed = [row for pair in zip(mine, others, strict=True) for row in pair]
    leave(tmp_path, [Opened(CALL), Opened(other), *mixed])
    report = await drained(tmp_path, store)
    assert (report.events, report.refused, report.closed_as_lost) == (100, 3, 2)
    rows = store.store.event_rows["s1"]
    assert sorted(rows) == list(range(1, 52))
    assert [seq for seq, row in rows.items() if row.event_type == "fault_raised"] == [7, 8, 30]
    assert sorted(store.store.event_rows["s2"]) == list(range(1, 52))
    kept = read_chunk(tmp_path / "refused.ndjson", 0, 10)
    assert [cast("Any", record).seq for record in kept.records] == [7, 8, 30]
    assert b"secret detail" in (tmp_path / "refused.ndjson").read_bytes()


async def test_a_file_that_appears_after_the_listing_is_drained_with_its_log(
    tmp_path: Path, store: StoreOutages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that changes its file and dies in between: the calls of the file that was listed go on in the next."""

    def as_listed_before(folder: Path) -> list[DeadLog]:
        found = dead_logs(folder)
        leave(tmp_path, [Opened(CALL), event(1)], [Opened(CALL), event(2), Closed(replace(CALL, status="completed"))])
        return found

    leave(tmp_path, [Opened(CALL), event(1)])
    monkeypatch.setattr("runtime.session.drain.dead_logs", as_listed_before)
    assert await drained(tmp_path, store) == DrainReport(files=2, calls=1, events=2)
    assert list(tmp_path.iterdir()) == []
