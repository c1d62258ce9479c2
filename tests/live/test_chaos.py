"""No event is lost and every call is finished while workers are killed at random and the database comes and goes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, Literal

import pytest

from runtime.errors import StoreUnreachable
from runtime.store.embedded import EmbeddedPostgres
from tests.calls.runs import CallResult
from tests.fakes.crew import CANCEL, Crew, crew, eventually, pid_of
from tests.fakes.crew_guests import Guest, greeted
from tests.fakes.databases import Databases
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import RATE
from tests.fakes.speech import take
from tests.fakes.working import agent, ends, leads
from worker.fleet import LEASE_S

pytestmark = pytest.mark.live

Strike = Literal["kill", "outage", "kill in an outage"]
STRIKES: Final[Sequence[Strike]] = ("kill", "kill", "outage", "kill in an outage")

BILLING = "i would like to speak to billing"
ORDER = "can you check my order"
NUMBER = "four two seven one"
CALLERS = 3
PATIENCE_S = 10.0
"""After so long without the answer that they wait for, callers say it again."""
WAVES = 8
"""How often it is all done under `soak`, with other moments each time."""


# ------------------------------------------------------------ callers


@dataclass(frozen=True, slots=True)
class Step:
    """What a caller says, and how many events of a type the call has once it was understood."""

    says: str
    event_type: str
    times: int


def two_desks() -> dict[str, object]:
    """Two agents who pass a caller to and fro; the second wants a number, once."""
    number = {"name": "order_number", "description": "the number", "data_type": "digits", "min_length": 4}
    asked = [{**number, "examples": [NUMBER]}]
    back = leads("Back", ORDER, target_agent_id="a-desk", required_variables=asked, say="Back to the desk.")
    billing = {
        "id": "a-billing",
        "name": "Billing",
        "instructions": "Help.",
        "greeting": {"mode": "say", "text": "Billing."},
        "paths": [back],
    }
    return agent(
        greeting={"mode": "say", "text": "Hello.", "on_return": "none"},
        paths=[leads("To Billing", BILLING, target_agent_id="a-billing"), ends(CANCEL)],
        agents=[billing],
        session={"silence": {"after_s": 120}},
    )


def script(storm_is_over: asyncio.Event) -> Iterator[Step]:
    """Go to and fro until the storm is over, then end the call."""
    yield Step(BILLING, "path_taken", 1)
    yield Step(ORDER, "path_refused", 1)
    yield Step(NUMBER, "path_taken", 2)
    for taken in count(3, 2):
        if storm_is_over.is_set():
            break
        yield Step(BILLING, "path_taken", taken)
        yield Step(ORDER, "path_taken", taken + 1)
    yield Step(CANCEL, "call_ended", 1)


async def play(guest: Guest, steps: Iterator[Step]) -> None:
    """Say each line until it was understood, as somebody does whose line is bad."""
    for step in steps:
        while not await understood(guest, step):
            await guest.caller.silence(0.7)
            await guest.caller.say(take(step.says, RATE))
            with suppress(TimeoutError):
                await eventually(partial(understood, guest, step), within_s=PATIENCE_S)


async def understood(guest: Guest, step: Step) -> bool:
    """Whether the step was understood, or the call is over; not known while the database is away."""
    try:
        types = [event.event_type for event in await guest.workers.store.events(guest.row.id)]
    except StoreUnreachable:
        return False
    return types.count(step.event_type) >= step.times or "call_ended" in types


# ------------------------------------------------------------ the storm


@dataclass
class Storm:
    """Kills workers and stops the database, at moments that a seed gives; `over` is set when it has done all it wanted."""

    workers: Crew
    postgres: EmbeddedPostgres
    guests: Sequence[Guest]
    moments: random.Random
    over: asyncio.Event = field(default_factory=asyncio.Event)
    outages: list[tuple[datetime, datetime]] = field(default_factory=list)

    async def run(self) -> None:
        for strike in self.moments.sample(STRIKES, len(STRIKES)):
            await self.moment(0.0, 4.0)
            if strike == "kill":
                self.kill()
            else:
                await self.settled()
                await self.outage(deadly=strike != "outage")
        await self.settled()
        self.over.set()

    async def moment(self, shortest_s: float, longest_s: float) -> None:
        await asyncio.sleep(self.moments.uniform(shortest_s, longest_s))

    def kill(self) -> None:
        """Kill one of the processes, whatever it is doing."""
        if pids := self.workers.pids():
            with suppress(ProcessLookupError):
                os.kill(self.moments.choice(pids), signal.SIGKILL)

    async def outage(self, *, deadly: bool) -> None:
        """Stop the database for longer than a lease; every call goes on meanwhile, until a worker dies in it."""
        await asyncio.to_thread(self.postgres.stop)
        began = datetime.now(UTC)
        await self.all_answered()
        ended = datetime.now(UTC)
        if deadly:
            self.kill()
        await self.moment(LEASE_S, 2 * LEASE_S)
        await asyncio.to_thread(self.postgres.start)
        self.outages.append((began, ended))

    async def settled(self) -> None:
        """Wait until every call is a living worker's, and its caller hears it."""
        await eventually(self._are_owned)
        await self.all_answered()

    async def all_answered(self) -> None:
        """Wait until each caller has heard something from its beginning to its end."""
        async with asyncio.timeout(60):
            await asyncio.gather(*(answered(guest) for guest in self.guests))

    async def _are_owned(self) -> bool:
        living = set(self.workers.pids())
        try:
            leases = [await self.workers.store.lease(guest.row.id) for guest in self.guests]
        except StoreUnreachable:
            return False
        return all(lease is not None and pid_of(lease.worker_id) in living for lease in leases)


async def answered(guest: Guest) -> None:
    """Wait until what the agent says next is over."""
    await guest.caller.silence(0.3)
    await guest.caller.hears()
    await guest.caller.silence(0.7)


@dataclass(frozen=True, slots=True)
class Sea:
    """Where it storms."""

    workers: Crew
    postgres: EmbeddedPostgres
    livekit: LiveKitServer

    async def survived(self, seed: int) -> list[CallResult]:
        """Have several call through a storm; return what is stored of their calls, which is complete."""
        await eventually(self.workers.all_ready)
        async with AsyncExitStack() as stack:
            arriving = [greeted(self.workers, self.livekit, ahead_ms=400) for _ in range(CALLERS)]
            guests = [await stack.enter_async_context(each) for each in arriving]
            storm = Storm(self.workers, self.postgres, guests, random.Random(seed))
            async with asyncio.TaskGroup() as together:  # what fails ends the others
                together.create_task(storm.run())
                for guest in guests:
                    together.create_task(play(guest, script(storm.over)))
            results = [await guest.result() for guest in guests]  # and they keep every promise
        for began, ended in storm.outages:
            assert all(went_on(result, began, ended) for result in results)
        return results


def went_on(result: CallResult, began: datetime, ended: datetime) -> bool:
    """Whether something happened in the call between these moments."""
    return any(began < event.occurred_at < ended for event in result.events)


@pytest.fixture
async def sea(tmp_path: Path) -> AsyncIterator[Sea]:
    with livekit_server(tmp_path) as livekit:
        async with EmbeddedPostgres(tmp_path / "database") as postgres:
            url = await Databases(postgres.dsn).migrated()
            async with crew(livekit, url, tmp_path, max_calls=2 * CALLERS, workflow=two_desks()) as workers:
                yield Sea(workers, postgres, livekit)


def assert_unharmed(result: CallResult) -> None:
    """Assert that the caller came to the end of their script, and noticed nothing but that they were asked to wait."""
    assert (result.row.status, result.row.end_reason) == ("completed", "agent_hangup")
    assert result.said.count("Hello.") == 1
    assert [each["name"] for each in result.payloads("variable_collected")] == ["order_number"]
    assert result.variables == {"order_number": "4271"}
    assert len(result.payloads("call_resumed")) < (result.row.epoch or 1)
    assert {each["code"] for each in result.payloads("fault_raised")} <= {"store_away"}


async def assert_complete(workers: Crew, calls: int) -> None:
    """Assert that each call is one session without gaps, that none is left running, and that no event came too late."""
    store = workers.store
    assert await store.fetch("select * from public.session_gap") == []
    late = await store.fetch("select event_type, seq, epoch from public.late_event")
    assert {row["event_type"] for row in late} <= {"fault_raised"}, late
    sessions = await store.fetch("select id from public.call_session")
    active = await store.fetch("select id from public.call_session where ended_at is null")
    assert (len(sessions), len(active)) == (calls, 0)
    for table in ("call_lease", "call_checkpoint", "call_secret"):
        assert await store.fetch(f"select session_id from public.{table}") == []  # noqa: S608 - our own names


@pytest.mark.timeout(240)
async def test_callers_finish_what_they_wanted_while_workers_are_killed_and_the_database_is_away(sea: Sea) -> None:
    results = await sea.survived(seed=7)
    for result in results:
        assert_unharmed(result)
    assert sum(len(result.payloads("call_resumed")) for result in results) > 0
    await assert_complete(sea.workers, calls=CALLERS)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_many_storms_one_after_the_other(sea: Sea) -> None:
    for seed in range(WAVES):
        for result in await sea.survived(seed):
            assert_unharmed(result)
    await assert_complete(sea.workers, calls=WAVES * CALLERS)
