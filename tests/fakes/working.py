"""A worker that answers SIP telephones in the test's own process, and what its calls leave behind, live and stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import NotFound
from runtime.session.event_log import CallLog
from runtime.session.ports import CallRow, EventRow, Limits, NumberRow, VersionRow
from runtime.settings import Settings
from tests.calls.promises import assert_promises
from tests.calls.runs import CallResult
from worker.phone.line import LineConfig, PhoneLine
from worker.worker import Lines, Worker, open_worker

__all__ = ["LOCAL", "NUMBER", "Desk", "Watched", "agent", "ends", "leads", "working"]

Json = Any
NUMBER = "+15550100"
LOCAL: Mapping[str, Json] = {
    "llm": {"provider": "local"},
    "stt": {"provider": "local"},
    "tts": {"provider": "local"},
    "turn": {"endpointing": {"min_delay_s": 0.3}},
}


@dataclass(slots=True)
class Watched:
    """A call as it happens: its log, and the events that are in the local log by now."""

    log: CallLog
    events: list[EventRow] = field(default_factory=list)

    @property
    def row(self) -> CallRow:
        return self.log.row

    def count(self, event_type: str) -> int:
        return len(self.payloads(event_type))

    def payloads(self, event_type: str) -> list[Mapping[str, Json]]:
        return [event.payload for event in self.events if event.event_type == event_type]


class Desk:
    """A worker with a SIP line. Calls are known by the other side's number."""

    def __init__(self, worker: Worker, database_url: str) -> None:
        self.worker = worker
        self.database_url = database_url
        self.calls: list[Watched] = []
        self._changed = asyncio.Event()
        worker.switchboard.watch(self._begins)

    # ------------------------------------------------------------ set up

    @property
    def line(self) -> PhoneLine:
        assert self.worker.phone is not None
        return self.worker.phone

    def uri(self, number: str = NUMBER) -> str:
        """Return where a telephone rings the worker at this number."""
        return f"sip:{number}@{self.line.config.listen}"

    async def publish(self, config: Mapping[str, Json], name: str = "desk") -> VersionRow:
        """Publish a version."""
        store, organization = self.worker.store, self.worker.organization.id
        version = await store.save_draft(organization, name, config)
        await store.publish(version.id)
        return version

    async def answer(self, config: Mapping[str, Json], number: str = NUMBER, name: str = "desk") -> VersionRow:
        """Publish a version and have it answer `number`; the worker knows of it on return."""
        version = await self.publish(config, name)
        await self.map(number, name)
        await self.until(lambda: self.knows(number, version.id))
        return version

    async def map(self, number: str, name: str) -> NumberRow:
        return await self.worker.store.set_number(self.worker.organization.id, number, name)

    async def limit(self, limits: Limits) -> None:
        """Set the organization's limits; the worker knows of them on return."""
        organization = self.worker.organization.id
        await self.worker.store.set_limits(organization, limits)
        await self.until(lambda: self.worker.directory.limits(organization) == limits)

    def knows(self, number: str, version_id: str | None = None) -> bool:
        """Whether the worker knows that this published version, or any, answers the number."""
        snapshot = self.worker.directory._snapshot
        rows = snapshot.numbers.get(number, ()) if snapshot else ()
        published = snapshot.published.get(rows[0].workflow_id or "") if snapshot and rows else None
        return published is not None and version_id in {None, published.version_id}

    # ------------------------------------------------------------ calls as they happen

    def of(self, party: str) -> list[Watched]:
        """Return the calls with this number at the other end, in order."""
        return [call for call in self.calls if party in {call.row.from_number, call.row.to_number}]

    async def call(self, party: str, *, number: int = 1) -> Watched:
        """Wait for the `number`-th call with this number at the other end."""
        await self.until(lambda: len(self.of(party)) >= number)
        return self.of(party)[number - 1]

    async def happened(self, call: Watched, event_type: str, *, count: int = 1, within_s: float = 20.0) -> None:
        """Wait until so many events of this type were recorded."""
        try:
            await self.until(lambda: call.count(event_type) >= count, within_s=within_s)
        except TimeoutError:
            told = [(event.event_type, dict(event.payload)) for event in call.events]
            raise AssertionError(f"{event_type} did not happen {count} times: {told}") from None

    async def dial(self, to: str, version: VersionRow, **variables: Json) -> bool:
        """Call a telephone and let this version speak, to the end of the call; return whether it went well."""
        leg = await self.line.dial(to)
        leg.want(version.id, variables)
        with self.worker.switchboard.counted():
            return await self.worker.switchboard.answer(leg)

    async def result(self, call: Watched) -> CallResult:
        """Wait until the call has ended and is stored; return what is stored, which keeps every promise."""
        await self.happened(call, "call_ended")
        store = self.worker.store
        row = None
        while row is None or row.ended_at is None:
            with suppress(NotFound):
                row = await store.call(call.row.id)
            await asyncio.sleep(0.02)
        result = CallResult(tuple(await store.events(row.id)), row)
        assert_promises(result)
        return result

    async def until(self, condition: Callable[[], bool], *, within_s: float = 20.0) -> None:
        """Wait until it holds; it is asked after every event, and every 20 ms for what has none."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.02)

    def _begins(self, log: CallLog) -> None:
        call = Watched(log)
        self.calls.append(call)

        def happens(event: EventRow) -> None:
            call.events.append(event)
            self._changed.set()

        log.subscribe(happens)


@asynccontextmanager
async def working(
    database_url: str, folder: Path, *, line: Mapping[str, Json] | None = None, **environment: str
) -> AsyncIterator[Desk]:
    """Open a worker on this database, with models as the workflows name them.

    `line` are fields of its `LineConfig`, `environment` is what its settings find there.
    """
    given = {
        "PATCHBAY_HOME": str(folder / "home"),
        "DATABASE_URL": database_url,
        "PATCHBAY_ALLOW_PRIVATE_HOSTS": "*",
        **environment,
    }
    settings = Settings.load(given, folder)
    config = LineConfig(**{"listen": "127.0.0.1:0", **(line or {})})
    async with open_worker(settings, Lines(phone=config)) as worker:
        yield Desk(worker, database_url)


# ------------------------------------------------------------ workflows


def agent(**fields: Json) -> dict[str, Json]:
    """Return a workflow of one agent that says `Hello.` and has no paths, unless `fields` say otherwise.

    `session`, `variables`, `defaults` and `agents` (further ones) are the workflow's, everything else the agent's.
    """
    session = {"silence": {"after_s": 30}, **fields.pop("session", {})}
    defaults = {**LOCAL, **fields.pop("defaults", {})}
    others, variables = fields.pop("agents", []), fields.pop("variables", [])
    greeting = fields.pop("greeting", "Hello.")
    greets = {"mode": "say", "text": greeting} if isinstance(greeting, str) else greeting
    first = {"id": "a-desk", "name": "Desk", "instructions": "Help.", "greeting": greets}
    return {
        "schema_version": 1,
        "session": session,
        "defaults": defaults,
        "variables": variables,
        "agents": [{**first, **fields}, *others],
    }


def leads(name: str, *examples: str, **fields: Json) -> dict[str, Json]:
    """Return a path that the local model takes on these words; `fields` say where it leads."""
    slug = name.lower().replace(" ", "-")
    return {"id": f"p-{slug}", "name": name, "description": name, "examples": list(examples), **fields}


def ends(*examples: str, say: str = "Thank you for calling, goodbye.") -> dict[str, Json]:
    """Return a path that ends the call on these words."""
    return leads("Finish", *examples, end_call={"say": say})
