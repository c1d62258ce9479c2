"""A call that has ended in a store, a clock that the test moves, and a sender that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from runtime.aftercall.loading import VersionLoader
from runtime.aftercall.ports import Analysis, Analyst, Delivery, EndedCall, Sent
from runtime.aftercall.reader import AfterCallReader
from runtime.session.outbox_ports import DeliveryRow
from runtime.session.ports import CallRow, TimerHandle
from runtime.store.memory import MemoryStore
from runtime.workflow.graph import CompiledTool
from tests.contract.rows import START, a_call, some_events

Json = Any

OK = Sent(ok=True, status=200)
BUSY = Sent(ok=False, status=503, error_code="http_503", retryable=True)
GONE = Sent(ok=False, status=410, error_code="http_410")


class ManualClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = START + timedelta(hours=1)

    def wall(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> TimerHandle:
        raise NotImplementedError

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class FakeSender:
    """Answers in order, the last answer for ever; `gate` holds every answer back while it is not set."""

    answers: list[Sent | Exception] = field(default_factory=lambda: [OK])
    attempts: list[tuple[Delivery, str, EndedCall]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def send(self, tool: CompiledTool, delivery: Delivery, call: EndedCall) -> Sent:
        self.attempts.append((delivery, tool.tool.display_name or "", call))
        self.begun.set()
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class FakeAnalyst:
    analysis: Analysis
    asked: list[EndedCall] = field(default_factory=list)

    async def analyse(self, call: EndedCall) -> Analysis:
        self.asked.append(call)
        return self.analysis


def config(
    names: Sequence[str] = ("CRM",), analysis: Mapping[str, Json] | None = None, **webhook: Json
) -> dict[str, Json]:
    given = {"url": "https://crm.example/hook", "secret": None, **webhook}
    tools = [{"tool_type": "webhook", "display_name": name, "config": given} for name in names]
    session: dict[str, Json] = {"on_end": tools, **({"analysis": analysis} if analysis is not None else {})}
    return {"session": session, "agents": [{"id": "a", "name": "Desk", "instructions": "Help."}]}


@dataclass
class Bench:
    """A store with readers."""

    store: MemoryStore
    clock: ManualClock
    sender: FakeSender

    def reader(self, analyst: Analyst | None = None) -> AfterCallReader:
        return AfterCallReader(self.store, VersionLoader(self.store).load, self.sender, analyst, self.clock)

    async def ended(self, given: Mapping[str, Json] | None = None, organization: str = "Acme", **row: Any) -> CallRow:
        """Have a call end that ran on this config."""
        owner = await self.store.ensure_organization(organization)
        version = await self.store.save_draft(owner.id, "support", given or config())
        call = a_call(owner.id, workflow_version_id=version.id, from_number="+15550199", **row)
        await self.store.open_call(call)
        await self.store.append(some_events(call, 1, 2))
        ended = START + timedelta(minutes=5)
        done = CallRow(
            **{
                **{name: getattr(call, name) for name in call.__dataclass_fields__},
                "ended_at": ended,
                "status": "completed",
                "end_reason": "caller_hangup",
                "variables": {"customer_id": "4271", "pin": "•••"},
            }
        )
        await self.store.close_call(done)
        return await self.store.call(call.id)

    async def deliveries(self, call: CallRow) -> list[DeliveryRow]:
        return await self.store.deliveries(call.organization_id, session_id=call.id)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; 10 s at most."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


@pytest.fixture
def bench() -> Bench:
    return Bench(MemoryStore(), ManualClock(), FakeSender())
