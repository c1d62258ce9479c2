"""Chat tests with a real model behind HTTP: it answers, it fails, it lacks its key; and answers that are streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.services import Services
from api.testing import chat, streaming
from api.testing.chat import play
from api.testing.sessions import TestBounds, TestOrder, open_test_sessions
from api.testing.streaming import EventQueue, stream
from runtime.harness.script import Say
from tests.api.chats import Builder, sse
from tests.api.conftest import Tenant
from tests.calls.runs import read
from tests.fakes.http_model import Answer, Call, Follower, http_model, in_turn
from tests.worker.waiting import until

pytestmark = pytest.mark.server

Json = Any
GREETING = "Hello, this is Acme. How can I help you?"
FOLLOWER = Follower(
    ("bill|4271", Call("to_billing", {"customer_number": "4271"})),
    ("May", Call("remember", {"invoice_month": "May"})),
)


@pytest.fixture
async def here(services: Services, tmp_path: Path) -> AsyncIterator[Services]:
    """Services whose tests may reach a model on this machine."""
    settings = services.settings.model_copy(update={"home": tmp_path / "models"})
    async with open_test_sessions(
        settings, services.store, services.keyring, bounds=TestBounds(), loopback_models=True
    ) as tests:
        yield replace(services, tests=tests)


@pytest.fixture
def app(here: Services) -> FastAPI:
    return create_app(here)


@pytest.fixture
def builder(http: httpx.AsyncClient, here: Services, acme: Tenant) -> Builder:
    return Builder(http, here, acme)


async def test_a_model_answers_turn_by_turn(builder: Builder) -> None:
    async with http_model(FOLLOWER) as model:
        version = await builder.version(model.configured(read("front_desk")))
        first = await builder.chat(version, message="there is a mistake in my bill, my number is 4271")
        assert [turn["role"] for turn in first["turns"]] == ["agent", "user", "agent"]
        assert first["turns"][0]["text"] == GREETING
        assert first["current_agent"]["name"] == "Billing"
        assert first["variables"] == {"customer_number": "4271"}
        assert first["latencies"]["response_ms"] is not None
        second = await builder.chat(version, messages=["it is May"], test_session_id=first["test_session_id"])
        assert second["end_reason"] == "caller_hangup"
        assert len(model.requests) >= 2


async def test_a_model_that_fails_is_apologised_for_and_told(builder: Builder) -> None:
    async with http_model(in_turn(*[Answer(status=500)] * 2)) as model:
        version = await builder.version(model.configured(read("front_desk")))
        answer = await builder.chat(version, message="Hello")
        assert answer["status"] == "active"
        faults = [event["payload"] for event in answer["events"] if event["event_type"] == "fault_raised"]
        assert faults
        assert faults[0]["component"] == "llm"
        again = await builder.chat(version, message="Hello", test_session_id=answer["test_session_id"])
        assert again["turns"][-1]["text"] == "All right."


async def test_a_provider_without_its_key_is_named(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    refused = await builder.chat(await builder.version(), message="Hello", status=503)
    assert refused["code"] == "unavailable"
    assert "OPENAI_API_KEY" in refused["detail"] + refused.get("remedy", "")
    assert builder.services.tests.running(builder.tenant.id) == 0
    assert (await builder.get("/test-sessions"))["items"] == []


async def test_a_plugin_that_is_not_installed_is_a_fault_of_the_version(builder: Builder) -> None:
    config = read("front_desk")
    config["defaults"]["llm"] = {"provider": "nobody", "model": "m"}
    refused = await builder.chat(await builder.version(config), message="Hello", status=422)
    assert refused["code"] == "config_has_faults"
    assert "nobody" in str(refused["faults"])


async def test_an_agent_that_never_answers_ends_the_test(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "STEP_S", 0.3)
    async with http_model(in_turn(Answer("Too late.", stall_s=20))) as model:
        version = await builder.version(model.configured(read("front_desk")))
        late = await builder.chat(version, message="Hello", status=504)
        assert late["code"] == "timed_out"
        await until(lambda: builder.services.tests.running(builder.tenant.id) == 0)
    test = await builder.get(f"/test-sessions/{late['test_session_id']}")
    assert (test["status"], test["end_reason"]) == ("dropped", "error")


async def test_what_happens_is_streamed_and_the_answer_comes_last(builder: Builder) -> None:
    version = await builder.version()
    answer = await builder.http.post(
        builder.url(version),
        json={"messages": ["there is a mistake in my bill"], "offline": True},
        headers=builder.tenant.keys["builder"] | {"Accept": "text/event-stream"},
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    messages = sse(answer.text)
    assert [kind for kind, _ in messages] == ["session_event"] * (len(messages) - 1) + ["result"]
    result = messages[-1][1]
    assert [data for _, data in messages[:-1]] == result["events"]
    assert result["status"] == "ended"


async def test_what_is_refused_is_refused_before_anything_is_streamed(builder: Builder) -> None:
    answer = await builder.http.post(
        builder.url(await builder.version()),
        json={"message": "[wait 3]"},
        headers=builder.tenant.keys["builder"] | {"Accept": "text/event-stream"},
    )
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_a_stream_that_goes_wrong_ends_with_the_problem(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "STEP_S", 0.3)
    async with http_model(in_turn(Answer("Too late.", stall_s=20))) as model:
        answer = await builder.http.post(
            builder.url(await builder.version(model.configured(read("front_desk")))),
            json={"message": "Hello"},
            headers=builder.tenant.keys["builder"] | {"Accept": "text/event-stream"},
        )
    kind, problem = sse(answer.text)[-1]
    assert (kind, problem["code"]) == ("problem", "timed_out")


async def test_who_stops_reading_does_not_stop_the_call(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "KEEP_ALIVE_S", 0.05)
    gate = asyncio.Event()
    async with http_model(in_turn(Answer("One moment.", calls=(Call("to_support"),), gate=gate))) as model:
        version = await builder.version(model.configured(read("front_desk")))
        tests = builder.services.tests
        call = await tests.open(TestOrder(version, builder.tenant.id, "chat_test"))
        queue = EventQueue()
        played = play(tests, call, [Say("it is broken")], leave=False, watch=queue.put)
        body = stream(played, queue, "r", lambda error: pytest.fail(str(error))).body_iterator
        seen = []
        async for part in body:
            seen.append(bytes(part))
            if seen[-1].startswith(b":"):  # the model thinks
                break
        await body.aclose()  # type: ignore[attr-defined]
        gate.set()
        answer = await played.answer()
        assert answer.current_agent is not None
        assert answer.current_agent.name == "Support"
        await call.aclose()
