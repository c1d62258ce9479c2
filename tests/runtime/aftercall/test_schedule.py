"""When a delivery is tried again, and when it is dead."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runtime.aftercall.ports import Sent
from runtime.aftercall.schedule import ATTEMPTS, after_attempt, after_fault, delay_s
from runtime.session.outbox_ports import AfterCallRow, DeliveryRow
from tests.contract.rows import START
from tests.runtime.aftercall.conftest import BUSY, GONE, OK


def row(attempts: int = 1) -> DeliveryRow:
    return DeliveryRow("d", "s", "o", 0, "CRM", "pending", attempts, due_at=START, created_at=START, leased_until=START)


def test_ten_attempts_take_about_a_day() -> None:
    waits = [delay_s(attempts, 0.5) for attempts in range(1, ATTEMPTS)]
    assert waits[0] == 5
    assert waits == sorted(waits)
    assert 22 * 3600 < sum(waits) < 25 * 3600


def test_waits_are_spread() -> None:
    assert delay_s(1, 0) == pytest.approx(3.75)
    assert delay_s(1, 1) == pytest.approx(6.25)


def test_what_was_taken_is_delivered() -> None:
    left = after_attempt(row(), OK, START, 0.5)
    assert (left.status, left.delivered_at, left.last_status, left.last_error) == ("delivered", START, 200, None)


def test_what_may_pass_is_tried_again() -> None:
    left = after_attempt(row(2), BUSY, START, 0.5)
    assert (left.status, left.due_at, left.last_error) == ("pending", START + timedelta(seconds=20), "http_503")


def test_what_is_final_is_dead_at_once() -> None:
    assert after_attempt(row(), GONE, START, 0.5).status == "dead"


def test_the_last_attempt_ends_it() -> None:
    assert after_attempt(row(ATTEMPTS - 1), BUSY, START, 0.5).status == "pending"
    assert after_attempt(row(ATTEMPTS), BUSY, START, 0.5).status == "dead"


@pytest.mark.parametrize(("asked", "waits"), [(None, 5), (2.0, 5), (120.0, 120), (1e9, 3600), (-5.0, 5)])
def test_a_receiver_may_ask_for_time(asked: float | None, waits: float) -> None:
    left = after_attempt(row(), Sent(ok=False, status=429, retryable=True, retry_after_s=asked), START, 0.5)
    assert left.due_at == START + timedelta(seconds=waits)


def test_a_call_that_cannot_be_made_ready_fails_in_the_end() -> None:
    call = AfterCallRow("s", "o", "pending", 1, due_at=START, leased_until=START)
    assert after_fault(call, "x" * 900, START, 0.5).due_at == START + timedelta(seconds=5)
    last = after_fault(AfterCallRow("s", "o", "pending", ATTEMPTS, due_at=START), "x" * 900, START, 0.5)
    assert (last.status, len(last.last_error or "")) == ("failed", 500)
