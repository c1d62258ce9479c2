"""When to try again, and when to give up. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from runtime.aftercall.ports import Sent
from runtime.session.outbox_ports import AfterCallRow, DeliveryRow

__all__ = ["ATTEMPTS", "after_attempt", "after_fault", "delay_s"]

ATTEMPTS = 10
"""Attempts before a delivery is a dead letter: about 24 hours in all."""

_FIRST_S, _FACTOR, _LONGEST_S = 5.0, 4.0, 8 * 3600.0
_LONGEST_ASKED_S = 3600.0
_LONGEST_ERROR = 500


def delay_s(attempts: int, jitter: float) -> float:
    """Return the seconds to wait after so many attempts; `jitter` from 0 to 1 spreads them by a quarter each way."""
    return float(min(_FIRST_S * _FACTOR ** (attempts - 1), _LONGEST_S)) * (0.75 + jitter / 2)


def after_attempt(row: DeliveryRow, sent: Sent, now: datetime, jitter: float) -> DeliveryRow:
    """Return the delivery as an attempt leaves it: delivered, due later, or dead."""
    told = replace(row, last_status=sent.status, last_error=sent.error_code or None)
    if sent.ok:
        return replace(told, status="delivered", delivered_at=now)
    if not sent.retryable or row.attempts >= ATTEMPTS:
        return replace(told, status="dead")
    asked = min(max(sent.retry_after_s or 0.0, 0.0), _LONGEST_ASKED_S)
    return replace(told, due_at=now + timedelta(seconds=max(delay_s(row.attempts, jitter), asked)))


def after_fault(row: AfterCallRow, error: str, now: datetime, jitter: float) -> AfterCallRow:
    """Return a call that could not be made ready: due later, or failed for good."""
    told = replace(row, last_error=error[:_LONGEST_ERROR])
    if row.attempts >= ATTEMPTS:
        return replace(told, status="failed")
    return replace(told, due_at=now + timedelta(seconds=delay_s(row.attempts, jitter)))
