"""A call has its connections before it needs them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runtime.harness.chat import ChatCaller
from runtime.harness.script import Say
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, RunnerOrder
from runtime.store.memory import MemoryStore
from runtime.voice.live_call import CallPlan, LiveCall, open_call
from runtime.voice.pipeline import Providers
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import compile_workflow
from tests.fakes.raw_model import Asked, Reply, delta, event, raw_model, says, stream
from tools.registry import Registry
from tools.runner import Runner
from tools.services import Services

pytestmark = [pytest.mark.server, pytest.mark.timeout(30)]

Json = Any


@asynccontextmanager
async def chat(folder: Path, raw: Mapping[str, Json]) -> AsyncIterator[LiveCall]:
    store = MemoryStore()
    owner = (await store.ensure_organization("o")).id
    workflow = compile_workflow(WorkflowConfig.model_validate(raw), version_id="v")
    row = CallRow(str(uuid.uuid4()), owner, None, "chat_test", "inbound", is_test=True, started_at=datetime.now(UTC))
    async with AsyncExitStack() as stack:
        log = await EventLog.open(folder, store)
        stack.push_async_callback(log.aclose)
        plan = CallPlan(
            workflow=workflow,
            log=log.open_call(row),
            clock=SystemClock(),
            tools=Runner(Registry(()), Services(None), RunnerOrder(owner, workflow)),  # type: ignore[arg-type]
            providers=Providers(stored=False),
            encrypt=str,
            runtime_version="tests",
            goodbye_s=0.0,
        )
        yield await stack.enter_async_context(open_call(plan, text=True))


def agent(name: str, url: str, *paths: Json) -> dict[str, Json]:
    return {
        "id": name,
        "name": name,
        "instructions": f"You are {name}.",
        "greeting": {"text": f"This is {name}."},
        "llm": {"provider": "openai", "model": "m", "base_url": url, "api_key": "k"},
        "paths": list(paths),
    }


async def test_the_first_models_connection_is_open_before_the_call_begins_and_the_nexts_before_it_is_asked(
    tmp_path: Path,
) -> None:
    hands_over = event(delta(tool_calls=[{"index": 0, "id": "call_a", "function": {"name": "on", "arguments": "{}"}}]))

    def first(asked: Asked) -> Reply:
        return stream(hands_over, finish="tool_calls") if "on" in str(asked.body) else stream(*says("Yes."))

    async with raw_model(first) as one, raw_model(lambda _asked: stream(*says("Here."))) as two:
        on = {"id": "p", "name": "On", "description": "Always.", "target_agent_id": "next"}
        raw = {"agents": [agent("desk", one.url, on), agent("next", two.url)]}
        async with chat(tmp_path, raw) as live:
            await live.start()
            await one.until(lambda: bool(one.asked))
            assert [(each.method, each.path) for each in one.asked] == [("GET", "/v1/models")]
            assert not two.asked
            caller = ChatCaller(live, SystemClock())
            await caller.begin()
            await caller.take(Say("Go on."))
            await two.until(lambda: bool(two.asked))
            assert [each.method for each in two.asked] == ["GET"], "the greeting asks nobody"
            await caller.take(Say("Well?"))
        for server in (one, two):
            assert [each.method for each in server.asked] == ["GET", "POST"]
            assert {each.connection for each in server.asked} == {1}
