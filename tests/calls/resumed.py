"""Calls that lose their worker: played once to the end, then again from any of their events by another worker."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.fernet import Fernet

from runtime.conversation.resuming import ENTRY_S
from runtime.harness.chat import ChatCaller
from runtime.harness.script import Dtmf, Hangup, Say, Silence, Step
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.fleet_ports import CheckpointRow
from runtime.session.ports import CallRow, EventRow, RunnerOrder, Store
from runtime.session.recovery import Recovered, recover
from runtime.store.memory import MemoryStore
from runtime.store.secrets import Keyring
from runtime.voice.live_call import CallPlan, open_call
from runtime.voice.local.heard_words import heard_words
from runtime.voice.pipeline import Providers
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from tests.calls.runs import CallResult, Place, TestCall
from tools.guard import open_client
from tools.registry import default_registry
from tools.runner import Runner
from tools.services import Services

__all__ = ["KEYS", "Played", "Scene", "play", "resumed_at", "running", "scene_of", "taken_over"]

Json = Any
KEYS = Keyring([Fernet.generate_key().decode()])
WORKER = "worker-1"


@dataclass(frozen=True, slots=True)
class Scene:
    """A workflow in a store of its own, and where its calls' logs lie."""

    store: Store
    config: Mapping[str, Json]
    workflow: Workflow
    row: CallRow
    place: Place
    tools: Callable[[RunnerOrder, Services], Any] = field(
        default=lambda order, services: Runner(default_registry(), services, order)
    )

    def another_call(self) -> Scene:
        """Return the same with a call of its own."""
        return replace(self, row=replace(self.row, id=str(uuid.uuid4())))


async def scene_of(config: Mapping[str, Json], place: Place, store: Store | None = None) -> Scene:
    """Return the workflow in a store (in memory, unless one is given) with a call that has not begun."""
    store = store or MemoryStore()
    organization = await store.ensure_organization("tests")
    version = await store.save_draft(organization.id, "tested", config)
    workflow = compile_workflow(WorkflowConfig.model_validate(config), version_id=version.id)
    row = CallRow(
        id=str(uuid.uuid4()),
        organization_id=organization.id,
        workflow_version_id=version.id,
        channel="chat_test",
        direction="inbound",
        is_test=True,
        started_at=datetime.now(UTC),
        worker_id=WORKER,
        room="room",
    )
    return Scene(store, config, workflow, row, place)


@asynccontextmanager
async def running(scene: Scene, recovered: Recovered | None = None) -> AsyncIterator[tuple[TestCall, ChatCaller]]:
    """Put the call together at a worker, new or recovered; the caller is there, and nothing has been begun."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        log = await EventLog.open(scene.place.folder / str(uuid.uuid4()), scene.store, flush_s=0.005)
        stack.push_async_callback(log.aclose)
        client = await stack.enter_async_context(open_client(_anywhere))
        order = RunnerOrder(scene.row.organization_id, scene.workflow)
        plan = CallPlan(
            workflow=scene.workflow,
            log=log.open_call(scene.row, last_seq=recovered.last_seq if recovered is not None else 0),
            clock=clock,
            tools=scene.tools(order, Services(client)),
            providers=Providers(offline=scene.place.offline, allowed=_anywhere, vocabulary=heard_words(scene.workflow)),
            encrypt=KEYS.encrypt,
            runtime_version="tests",
            workspace=scene.place.workspace,
            goodbye_s=0.02,
            recovered=recovered,
        )
        live = await stack.enter_async_context(open_call(plan, text=True))
        yield TestCall(live, clock, scene.store), ChatCaller(live, clock)


@dataclass(frozen=True, slots=True)
class Played:
    """A call that went to its end: what is stored, every checkpoint of it, and the last event before each step."""

    scene: Scene
    steps: Sequence[Step]
    result: CallResult
    events: Sequence[EventRow]
    checkpoints: Sequence[CheckpointRow]
    marks: Sequence[int]

    def left_at(self, seq: int) -> list[Step]:
        """Return what the caller has still to do where the event `seq` was the last: nobody repeats what was heard."""
        at = max((number for number, mark in enumerate(self.marks) if mark < seq), default=-1)
        if at < 0:
            return list(self.steps)
        done = [event for event in self.events if self.marks[at] < event.seq <= seq]
        return [*_rest(self.steps[at], done), *self.steps[at + 1 :]]


def _rest(step: Step, done: Sequence[EventRow]) -> list[Step]:
    types = [event.event_type for event in done]
    match step:
        case Dtmf(keys):
            pressed = sum(1 for event in done if event.event_type == "dtmf_received" and event.payload["digits"])
            return [Dtmf(keys[pressed:])] if keys[pressed:] else [Silence(ENTRY_S)]
        case Silence() | Hangup():
            return []
        case _:
            return [] if "user_turn" in types else [Say(getattr(step, "text", ""))]


async def play(scene: Scene, steps: Sequence[Step]) -> Played:
    """Play the call to its end, and remember all it left on the way."""
    written: list[EventRow] = []
    marks: list[int] = []
    checkpoints: list[CheckpointRow] = []
    save = scene.store.save_checkpoints

    async def saving(rows: Sequence[CheckpointRow]) -> None:
        checkpoints.extend(rows)
        await save(rows)

    scene.store.save_checkpoints = saving  # type: ignore[method-assign]
    async with running(scene) as (call, caller):
        call.live.plan.log.subscribe(written.append)
        await caller.begin()
        for step in steps:
            if caller.over:
                break
            marks.append(call.live.plan.log.last_seq)
            await caller.take(step)
        marks.append(call.live.plan.log.last_seq)
        await caller.leave()
        result = await call.result()
    return Played(scene, steps, result, written, checkpoints, marks)


async def taken_over(played: Played, seq: int, store: Store | None = None, *, checkpoint: bool = True) -> Scene:
    """Return the call as it is stored where its worker died after the event `seq`, with its next owner's epoch."""
    scene = await scene_of(played.scene.config, played.scene.place, store)
    scene = replace(scene, tools=played.scene.tools)
    await scene.store.open_call(scene.row)
    ours = scene.row.id, scene.row.organization_id
    events = [replace(each, session_id=ours[0], organization_id=ours[1]) for each in played.events[:seq]]
    await scene.store.append(events)
    newest = [each for each in played.checkpoints if each.seq <= seq][-1:] if checkpoint else []
    await scene.store.save_checkpoints([replace(each, session_id=ours[0], organization_id=ours[1]) for each in newest])
    return replace(scene, row=replace(scene.row, worker_id="worker-2"))


async def resumed_at(
    played: Played, seq: int, *, decrypt: Callable[[str], str] = KEYS.decrypt, **how: Json
) -> CallResult:
    """Lose the worker after the event `seq`, recover, let the caller finish, and return what is stored."""
    scene = await taken_over(played, seq, **how)
    recovered = await recover(scene.store, scene.row.id, decrypt=decrypt)
    assert recovered is not None
    async with running(scene, recovered) as (call, caller):
        await call.live.resume("worker-2", 1500)
        await caller.settle()
        for step in played.left_at(seq):
            if caller.over:
                break
            await caller.take(step)
        await caller.leave()
        return await call.result()


def _anywhere(_host: str, _port: int) -> bool:
    return True
