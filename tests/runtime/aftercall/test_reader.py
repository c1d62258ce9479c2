"""Readers of ended calls: every delivery at least once, under one id, whoever dies and whatever is away."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from runtime.aftercall.ports import Analysis
from runtime.aftercall.schedule import ATTEMPTS
from runtime.errors import StoreUnreachable
from runtime.tasks import cancel_and_wait, spawn
from tests.runtime.aftercall.conftest import BUSY, GONE, OK, Bench, FakeAnalyst, config, until

DAY = 25 * 3600


async def test_an_ended_call_is_told_to_each_receiver(bench: Bench) -> None:
    call = await bench.ended(config(("CRM", "Billing")))
    await bench.reader().run_due()
    assert [name for _, name, _ in bench.sender.attempts] == ["CRM", "Billing"]
    rows = await bench.deliveries(call)
    assert [(row.name, row.status, row.tool_index, row.last_status) for row in rows] == [
        ("CRM", "delivered", 0, 200),
        ("Billing", "delivered", 1, 200),
    ]
    await bench.reader().run_due()
    assert len(bench.sender.attempts) == 2


async def test_a_call_of_a_workflow_without_webhooks_is_nothing_to_do(bench: Bench) -> None:
    call = await bench.ended(config(()))
    await bench.reader().run_due()
    assert await bench.deliveries(call) == []


async def test_a_receiver_that_is_busy_is_asked_again_under_the_same_id(bench: Bench) -> None:
    bench.sender.answers = [BUSY, BUSY, OK]
    call = await bench.ended()
    reader = bench.reader()
    for wait in (0, 7, 26):
        bench.clock.pass_(wait)
        await reader.run_due()
    (row,) = await bench.deliveries(call)
    assert (row.status, row.attempts, row.last_error) == ("delivered", 3, None)
    assert {delivery.id for delivery, _, _ in bench.sender.attempts} == {row.id}
    assert [delivery.attempt for delivery, _, _ in bench.sender.attempts] == [1, 2, 3]


async def test_nothing_is_sent_before_it_is_due(bench: Bench) -> None:
    bench.sender.answers = [BUSY]
    await bench.ended()
    reader = bench.reader()
    await reader.run_due()
    bench.clock.pass_(3)
    await reader.run_due()
    assert len(bench.sender.attempts) == 1


async def test_a_receiver_that_never_answers_leaves_a_dead_letter(bench: Bench) -> None:
    bench.sender.answers = [BUSY]
    call = await bench.ended()
    for _ in range(ATTEMPTS + 3):
        await bench.reader().run_due()
        bench.clock.pass_(DAY)
    (row,) = await bench.deliveries(call)
    assert (row.status, row.attempts, row.last_error, len(bench.sender.attempts)) == ("dead", 10, "http_503", 10)


async def test_a_refusal_is_a_dead_letter_at_once_and_can_be_replayed(bench: Bench) -> None:
    bench.sender.answers = [GONE, OK]
    call = await bench.ended()
    await bench.reader().run_due()
    (row,) = await bench.deliveries(call)
    assert (row.status, row.attempts) == ("dead", 1)
    (again,) = await bench.reader().replay([row.id])
    assert (again.id, again.status, again.attempts) == (row.id, "delivered", 1)


async def test_a_reader_that_dies_between_sending_and_writing_it_down_sends_once_more(bench: Bench) -> None:
    bench.sender.gate.clear()
    call = await bench.ended()
    dying = spawn(bench.reader().run_due(), name="dying")
    await bench.sender.begun.wait()
    await cancel_and_wait(dying, *(task for task in asyncio.all_tasks() if task.get_name() == "after-call"))
    bench.sender.gate.set()
    other = bench.reader()
    await other.run_due()
    assert len(bench.sender.attempts) == 1
    bench.clock.pass_(91)
    await other.run_due()
    (row,) = await bench.deliveries(call)
    assert row.status == "delivered"
    assert [delivery.id for delivery, _, _ in bench.sender.attempts] == [row.id, row.id]


async def test_two_readers_at_once_send_each_once(bench: Bench) -> None:
    for _ in range(5):
        await bench.ended(config(("CRM", "Billing")))
    await asyncio.gather(*(bench.reader().run_due() for _ in range(3)))
    assert len({delivery.id for delivery, _, _ in bench.sender.attempts}) == 10
    assert len(bench.sender.attempts) == 10


async def test_a_receiver_that_hangs_leaves_a_place_for_others(bench: Bench) -> None:
    bench.sender.gate.clear()
    for _ in range(6):
        await bench.ended(organization="Hanging")
    other = await bench.ended(organization="Other")
    work = spawn(bench.reader().run_due(), name="work")
    await until(lambda: len(bench.sender.attempts) == 4)
    assert [call.row.organization_id for _, _, call in bench.sender.attempts].count(other.organization_id) == 1
    bench.sender.gate.set()
    await work
    assert len(bench.sender.attempts) == 7


ANALYSIS = Analysis("All well.", "resolved", {"mood": "good"}, "openai", "m", 10, 5)


async def test_the_analysis_comes_first_and_is_sent_along(bench: Bench) -> None:
    call = await bench.ended(config(analysis={"summary": True}))
    analyst = FakeAnalyst(ANALYSIS)
    await bench.reader(analyst).run_due()
    assert (await bench.store.call(call.id)).analysis is not None
    ((_, _, told),) = bench.sender.attempts
    assert (told.row.analysis or {})["summary"] == "All well."
    assert len(analyst.asked) == 1


async def test_a_call_is_analysed_without_any_webhook(bench: Bench) -> None:
    call = await bench.ended(config((), analysis={}))
    await bench.reader(FakeAnalyst(ANALYSIS)).run_due()
    assert (await bench.store.call(call.id)).analysis is not None


async def test_a_call_is_analysed_once(bench: Bench) -> None:
    call = await bench.ended(config(analysis={}))
    await bench.store.save_analysis(call.id, {"v": 1, "summary": "kept"})
    analyst = FakeAnalyst(ANALYSIS)
    await bench.reader(analyst).run_due()
    assert analyst.asked == []
    assert ((await bench.store.call(call.id)).analysis or {})["summary"] == "kept"


async def test_a_failed_analysis_holds_no_webhook_up(bench: Bench) -> None:
    call = await bench.ended(config(analysis={}))
    with capture_logs() as lines:
        await bench.reader(FakeAnalyst(Analysis(None, None, {}, "", "", 0, 0, "timeout"))).run_due()
    assert [row.status for row in await bench.deliveries(call)] == ["delivered"]
    assert "analysis_failed" in {line["event"] for line in lines}


async def test_a_version_that_does_not_compile_is_tried_again_and_given_up(bench: Bench) -> None:
    broken = config()
    broken["agents"][0]["strange"] = 1
    call = await bench.ended(broken)
    for _ in range(ATTEMPTS + 1):
        await bench.reader().run_due()
        bench.clock.pass_(DAY)
    assert await bench.deliveries(call) == []
    (row,) = bench.store._after_calls.values()
    assert (row.status, row.attempts) == ("failed", 10)
    assert "has faults" in (row.last_error or "")


async def test_a_call_whose_readers_always_die_is_given_up(bench: Bench) -> None:
    await bench.ended()
    for _ in range(ATTEMPTS):
        now = bench.clock.wall()
        await bench.store.claim_after_call(now, now)
    await bench.reader().run_due()
    assert [row.status for row in bench.store._after_calls.values()] == ["failed"]


async def test_a_fault_of_the_sender_is_an_attempt(bench: Bench) -> None:
    bench.sender.answers = [RuntimeError("the secret is 4711"), OK]
    call = await bench.ended()
    with capture_logs() as lines:
        await bench.reader().run_due()
    (row,) = await bench.deliveries(call)
    assert (row.status, row.last_error) == ("pending", "internal")
    assert "RuntimeError" in repr(lines)
    assert "4711" not in repr(lines)


async def test_secrets_that_cannot_be_read_cost_no_attempt_but_the_lease(bench: Bench) -> None:
    bench.sender.answers = [StoreUnreachable("away"), OK]
    call = await bench.ended()
    reader = bench.reader()
    await reader.run_due()
    assert [row.status for row in await bench.deliveries(call)] == ["pending"]
    bench.clock.pass_(91)
    await reader.run_due()
    assert [row.status for row in await bench.deliveries(call)] == ["delivered"]


async def test_a_long_running_reader_is_nudged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.aftercall.reader._IDLE_S", 1000.0)
    reader = bench.reader()
    running = spawn(reader.run(), name="reader")
    await asyncio.sleep(0)
    await bench.ended()
    reader.nudge()
    await until(lambda: len(bench.sender.attempts) == 1)
    await cancel_and_wait(running)


async def test_a_reader_waits_for_a_store_that_is_away(bench: Bench) -> None:
    call = await bench.ended()
    bench.store.away = True
    reader = bench.reader()
    with capture_logs() as lines:
        running = spawn(reader.run(), name="reader")
        await until(lambda: bool(lines))
        bench.store.away = False
        reader.nudge()
        await until(lambda: any(line["event"] == "webhook_sent" for line in lines))
        await cancel_and_wait(running)
    assert [line["event"] for line in lines] == ["after_call_store_away", "webhook_sent"]
    assert [row.status for row in await bench.deliveries(call)] == ["delivered"]


async def test_what_is_being_sent_when_the_reader_ends_may_finish(bench: Bench) -> None:
    bench.sender.gate.clear()
    call = await bench.ended()
    running = spawn(bench.reader().run(), name="reader")
    await bench.sender.begun.wait()
    running.cancel()
    bench.sender.gate.set()
    await cancel_and_wait(running)
    assert [row.status for row in await bench.deliveries(call)] == ["delivered"]


async def test_one_call_is_done_for_the_command_line(bench: Bench) -> None:
    bench.sender.answers = [BUSY, OK]
    call, other = await bench.ended(config(("CRM", "Billing"))), await bench.ended()
    rows = await bench.reader().run_session(call.id, 5)
    assert sorted(row.status for row in rows) == ["delivered", "pending"]
    assert await bench.deliveries(other) == []
    assert len(bench.sender.attempts) == 2
    await bench.reader().run_session(call.id, 5)
    assert len(bench.sender.attempts) == 2


async def test_the_command_line_does_not_wait_for_ever(bench: Bench) -> None:
    bench.sender.gate.clear()
    call = await bench.ended()
    (row,) = await bench.reader().run_session(call.id, 0.05)
    assert (row.status, row.attempts) == ("pending", 1)


async def test_a_store_that_goes_away_is_told_to_the_command_line(bench: Bench) -> None:
    bench.store.away = True
    with pytest.raises(StoreUnreachable):
        await bench.reader().replay(["x"])
