"""Tickets that let one client join one voice test, once and soon."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from api.problems import Problem
from api.testing.sessions import TestCall

__all__ = ["TICKET_S", "VoiceTickets"]

TICKET_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Issued:
    call: TestCall
    expiry: asyncio.TimerHandle


class VoiceTickets:
    """The tickets of this process, by their hash; a call whose ticket nobody uses in time is ended."""

    def __init__(self, lives_s: float = TICKET_S) -> None:
        self._lives_s = lives_s
        self._issued: dict[str, _Issued] = {}

    def issue(self, call: TestCall) -> tuple[str, datetime]:
        """Return a new ticket for a call that has not begun, and until when it is good."""
        ticket = secrets.token_urlsafe(32)
        name = _hash(ticket)
        expiry = asyncio.get_running_loop().call_later(self._lives_s, self._expire, name)
        self._issued[name] = _Issued(call, expiry)
        return ticket, datetime.now(UTC) + timedelta(seconds=self._lives_s)

    def redeem(self, test_session_id: str, ticket: str) -> TestCall:
        """Return the call that the ticket is for; it is used up. Raises the problem 401, for whatever reason it is no good."""
        found = self._issued.get(_hash(ticket))
        if found is None or found.call.test_session_id != test_session_id or found.call.ended:
            raise Problem(
                401,
                "unauthenticated",
                "The ticket is unknown, was used, or has expired.",
                remedy="Ask for another with POST /api/workflow-versions/{id}/test/voice.",
            )
        del self._issued[_hash(ticket)]
        found.expiry.cancel()
        return found.call

    def _expire(self, name: str) -> None:
        self._issued.pop(name).call.end("not_connected", "dropped")


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()
