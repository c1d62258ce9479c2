"""A session that keeps no event and calls its listeners as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from livekit.agents import AgentSession, AgentStateChangedEvent

from runtime.voice.quiet_session import QuietSession


@pytest.fixture
async def session() -> QuietSession:
    return QuietSession(vad=None, turn_handling={"turn_detection": None})


@pytest.fixture
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def changed() -> AgentStateChangedEvent:
    return AgentStateChangedEvent(old_state="thinking", new_state="speaking")


async def test_listeners_hear_in_order_and_nothing_is_kept(session: QuietSession) -> None:
    heard: list[tuple[str, AgentStateChangedEvent]] = []
    session.on("agent_state_changed", lambda event: heard.append(("first", event)))
    session.on("agent_state_changed", lambda event: heard.append(("second", event)))
    event = changed()
    session.emit("agent_state_changed", event)
    assert heard == [("first", event), ("second", event)]
    assert session._recorded_events == []  # what would grow for as long as the call lasts


async def test_a_listener_that_raises_keeps_no_other_from_hearing(
    session: QuietSession, logged: list[structlog.typing.EventDict]
) -> None:
    heard: list[AgentStateChangedEvent] = []

    def broken(_event: AgentStateChangedEvent) -> None:
        raise TypeError("ours")

    session.on("agent_state_changed", broken)
    session.on("agent_state_changed", heard.append)
    session.emit("agent_state_changed", changed())
    assert len(heard) == 1
    assert [entry["event"] for entry in logged] == ["listener_failed"]


async def test_one_that_listens_once_hears_once(session: QuietSession) -> None:
    heard: list[AgentStateChangedEvent] = []
    session.once("agent_state_changed", heard.append)
    session.emit("agent_state_changed", changed())
    session.emit("agent_state_changed", changed())
    assert len(heard) == 1


async def test_it_is_no_simulation_as_livekits_own_would_find(session: QuietSession) -> None:
    own = AgentSession.__dict__["_text_only"]
    assert session._text_only is own.fget(session) is False
