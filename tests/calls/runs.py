"""Whole calls without the command line: by text and by voice, on a store in memory and a real event log."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from runtime.harness.chat import ChatCaller
from runtime.harness.phone import LocalPhone
from runtime.harness.script import Step, parse_script
from runtime.harness.voice import VoiceCaller
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, EventRow, RunnerOrder, Store
from runtime.store.memory import MemoryStore
from runtime.voice.live_call import CallPlan, LiveCall, open_call
from runtime.voice.local.heard_words import heard_words
from runtime.voice.pipeline import Providers
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import compile_workflow
from tools.guard import open_client
from tools.registry import default_registry
from tools.runner import Runner
from tools.services import Services

__all__ = ["EXAMPLES", "CallResult", "Place", "TestCall", "read", "run_chat", "run_voice", "script"]

Json = Any
Channel = Literal["chat_test", "voice_test"]

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, slots=True)
class Place:
    """Where calls are made: the folder of the event log, the workspace's plain variables, and whose models answer."""

    folder: Path
    workspace: Mapping[str, str] = field(default_factory=dict)
    offline: bool = True


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a call left in the store."""

    events: tuple[EventRow, ...]
    row: CallRow

    @property
    def types(self) -> tuple[str, ...]:
        """The events' types, in order."""
        return tuple(event.event_type for event in self.events)

    @property
    def paths(self) -> tuple[str, ...]:
        """The ids of the paths taken, in order."""
        return tuple(payload["path_id"] for payload in self.payloads("path_taken"))

    @property
    def variables(self) -> Mapping[str, Json]:
        """The variables at the end."""
        return self.row.variables

    @property
    def tools(self) -> tuple[tuple[str, Mapping[str, Json], str], ...]:
        """The tools' calls in order: name, arguments, and how each ended."""
        ends = {
            payload["tool_call_id"]: event_type.removeprefix("tool_")
            for event_type in ("tool_succeeded", "tool_failed")
            for payload in self.payloads(event_type)
        }
        started = self.payloads("tool_started")
        return tuple((each["name"], each["arguments"], ends[each["tool_call_id"]]) for each in started)

    @property
    def said(self) -> tuple[str, ...]:
        """What the agents were heard to say, turn by turn."""
        return tuple(payload["spoken_text"] for payload in self.payloads("agent_turn"))

    def payloads(self, event_type: str) -> list[Mapping[str, Json]]:
        """The payloads of one type of event, in order."""
        return [event.payload for event in self.events if event.event_type == event_type]


@dataclass(frozen=True, slots=True)
class TestCall:
    """A call that has not begun, and the means to play its caller."""

    __test__ = False  # not a test class, whatever its name

    live: LiveCall
    clock: SystemClock
    store: Store

    async def result(self) -> CallResult:
        """End the call if it runs, and return what is stored of it."""
        row = await self.live.call.aclose()
        return CallResult(tuple(await self.store.events(row.id)), await self.store.call(row.id))


def read(example: str) -> dict[str, Json]:
    """Return an example's workflow as it is written."""
    raw: dict[str, Json] = yaml.safe_load((EXAMPLES / example / "workflow.yaml").read_text(encoding="utf-8"))
    return raw


def script(example: str, name: str) -> tuple[Step, ...]:
    """Return an example's script."""
    return parse_script((EXAMPLES / example / f"{name}.txt").read_text(encoding="utf-8"), name)


@asynccontextmanager
async def opened(config: Mapping[str, Json], place: Place, channel: Channel) -> AsyncIterator[TestCall]:
    """Put a call of this workflow together; afterwards everything is closed."""
    store = MemoryStore()
    organization = await store.ensure_organization("tests")
    version = await store.save_draft(organization.id, "tested", config)
    workflow = compile_workflow(WorkflowConfig.model_validate(config), version_id=version.id)
    row = CallRow(
        id=str(uuid.uuid4()),
        organization_id=organization.id,
        workflow_version_id=version.id,
        channel=channel,
        direction="inbound",
        is_test=True,
        started_at=datetime.now(UTC),
    )
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        log = await EventLog.open(place.folder / row.id, store, flush_s=0.02)
        stack.push_async_callback(log.aclose)
        client = await stack.enter_async_context(open_client(_anywhere))
        plan = CallPlan(
            workflow=workflow,
            log=log.open_call(row),
            clock=clock,
            tools=Runner(default_registry(), Services(client), RunnerOrder(organization.id, workflow)),
            providers=Providers(offline=place.offline, allowed=_anywhere, vocabulary=heard_words(workflow)),
            encrypt=lambda text: f"encrypted {len(text)}",
            runtime_version="tests",
            workspace=place.workspace,
            goodbye_s=0.1,
        )
        live = await stack.enter_async_context(open_call(plan, text=channel == "chat_test"))
        yield TestCall(live, clock, store)


@asynccontextmanager
async def chatting(config: Mapping[str, Json], place: Place) -> AsyncIterator[tuple[TestCall, ChatCaller]]:
    """A chat that has begun: the first agent has spoken."""
    async with opened(config, place, "chat_test") as call:
        caller = ChatCaller(call.live, call.clock)
        await caller.begin()
        yield call, caller


async def run_chat(config: Mapping[str, Json], steps: Iterable[Step], place: Place) -> CallResult:
    """Play the steps by text, and return what came of them."""
    async with chatting(config, place) as (call, caller):
        await caller.play(steps)
        return await call.result()


async def run_voice(config: Mapping[str, Json], steps: Iterable[Step], place: Place) -> CallResult:
    """Play the steps by voice, in real time, and return what came of them."""
    async with opened(config, place, "voice_test") as call:
        caller = VoiceCaller(LocalPhone(call.live))
        try:
            await caller.begin()
            await caller.play(steps)
        finally:
            await caller.aclose()
        return await call.result()


def _anywhere(_host: str, _port: int) -> bool:
    return True
