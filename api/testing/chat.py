"""Plays the caller of a chat test for one request, and tells what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import structlog

from api.problems import Problem
from api.testing.bodies import (
    AgentBody,
    ChatAnswer,
    ChatRequest,
    EventBody,
    LatenciesBody,
    TurnBody,
)
from api.testing.calls import TestCall
from api.testing.sessions import TestSessions
from runtime.harness.chat import ChatCaller
from runtime.harness.script import Say, Step, parse_script
from runtime.session.ports import EventRow
from runtime.tasks import spawn

__all__ = ["Played", "event_of", "play", "steps_of"]

Json = Any
STEP_S: Final = 90.0
"""What one step may take: a model's retries and its tools' deadlines, and then some."""
_MASK: Final = "•••"


@dataclass(frozen=True, slots=True)
class Played:
    """A request's steps, its own task: who sent it may go away, and the session goes on. `task` raises problems."""

    call: TestCall
    task: asyncio.Task[ChatAnswer]

    async def answer(self) -> ChatAnswer:
        """Wait for what the steps came to; who is cancelled meanwhile does not end them."""
        return await asyncio.shield(self.task)


def steps_of(request: ChatRequest) -> tuple[Step, ...]:
    """Return the caller's steps. Raises UsageFault that names the lines of a script which are none."""
    if request.messages is not None:
        return parse_script("\n".join(map(_one_line, request.messages)), "The script in `messages`")
    if request.message is None:
        return ()
    text = _one_line(request.message)
    return parse_script(text, "`message`") if text.startswith("[") else (Say(text),)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def play(
    sessions: TestSessions,
    call: TestCall,
    steps: Sequence[Step],
    *,
    leave: bool,
    watch: Callable[[EventRow], None] | None = None,
) -> Played:
    """Begin the call where it has not begun, take the steps, and `leave` where it was a whole script.

    `watch` hears every event. Raises the problem 409 where another request uses the call.
    """
    place = ExitStack()  # taken here and not in the task: the next request must see it
    place.enter_context(call.in_use())
    if watch is not None:
        place.callback(call.subscribe(watch))
    known = len(call.events)
    return Played(
        call, spawn(_played(sessions, call, steps, known, place, leave=leave), name="chat turn", on_error=_told)
    )


def _told(_error: BaseException) -> None:
    """Who waits for the answer hears of it."""


async def _played(
    sessions: TestSessions, call: TestCall, steps: Sequence[Step], known: int, place: ExitStack, *, leave: bool
) -> ChatAnswer:
    log_keys = {"request_id": call.order.request_id, "session_id": call.session_id}
    with structlog.contextvars.bound_contextvars(**log_keys):
        with place:
            await _speak(call, steps, leave=leave)
        if call.ended:
            await call.aclose()
        else:
            await sessions.save(call)
    return _answer(call, known)


async def _speak(call: TestCall, steps: Sequence[Step], *, leave: bool) -> None:
    caller = ChatCaller(call.live, call.clock)
    try:
        if not call.live.call.state.started and not call.ended:
            async with asyncio.timeout(STEP_S):
                await caller.begin()
        for step in steps:
            if caller.over:
                return
            async with asyncio.timeout(STEP_S):
                await caller.take(step)
        if leave:
            async with asyncio.timeout(STEP_S):
                await caller.leave()
    except TimeoutError:
        call.end("error", "dropped")
        raise Problem(
            504,
            "timed_out",
            f"The agent did not answer within {STEP_S:.0f} seconds, so the test was ended.",
            test_session_id=call.test_session_id,
        ) from None
    except BaseException:
        call.end("error", "dropped")
        raise


def _answer(call: TestCall, known: int) -> ChatAnswer:
    state, events = call.live.call.state, call.events[known:]
    agent = None if state.ended or state.agent_id is None else call.workflow.agents[state.agent_id]
    end = next((event.payload["reason"] for event in reversed(events) if event.event_type == "call_ended"), None)
    turns = [_turn(event) for event in events if event.event_type in {"user_turn", "agent_turn"}]
    return ChatAnswer.model_validate(
        {
            "test_session_id": call.test_session_id,
            "session_id": call.session_id,
            "workflow_version_id": call.version.id,
            "status": "ended" if state.ended else "active",
            "end_reason": end,
            "turns": turns,
            "events": [event_of(event) for event in events],
            "variables": _variables(call),
            "current_agent": AgentBody(id=agent.id, name=agent.name) if agent is not None else None,
            "latencies": LatenciesBody(
                llm_ttft_ms=_slowest(turn.llm_ttft_ms for turn in turns),
                response_ms=_slowest(turn.response_ms for turn in turns),
            ),
        }
    )


def event_of(event: EventRow) -> EventBody:
    """Return an event as programs read it."""
    return EventBody.model_validate(
        {
            "session_id": event.session_id,
            "seq": event.seq,
            "event_type": event.event_type,
            "occurred_at": event.occurred_at,
            "payload": dict(event.payload),
        }
    )


def _turn(event: EventRow) -> TurnBody:
    payload: Mapping[str, Json] = event.payload
    if event.event_type == "user_turn":
        return TurnBody(role="user", agent=payload.get("agent_name"), text=payload["text"], turn=payload["turn"])
    return TurnBody(
        role="agent",
        agent=payload.get("agent_name"),
        text=payload["spoken_text"],
        turn=payload["turn"],
        interrupted=payload["interrupted"],
        llm_ttft_ms=payload["llm_ttft_ms"],
        response_ms=payload["response_ms"],
    )


def _variables(call: TestCall) -> dict[str, Json]:
    """Return the values as `call_ended` would have them, which masks whatever tells a sensitive one."""
    ended = next((event.payload for event in reversed(call.events) if event.event_type == "call_ended"), None)
    if ended is not None:
        return dict(ended["variables"])
    workflow = call.workflow
    secret = {str(value) for name, value in call.live.call.state.values.items() if workflow.variables[name].sensitive}
    return {
        name: _MASK if workflow.variables[name].sensitive or str(value) in secret else value
        for name, value in call.live.call.state.values.items()
    }


def _slowest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
