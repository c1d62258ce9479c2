"""A call driven by hand: signals in, and what came of them as a readable table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.conversation import events as ev
from runtime.conversation.commands import Command
from runtime.conversation.folding import fold
from runtime.conversation.interpreter import advance
from runtime.conversation.scene import Reply, Step
from runtime.conversation.state import CallState
from runtime.workflow.graph import Workflow
from tests.fakes.workflows import compiled

__all__ = ["Play"]

Json = Any
START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


class Play:
    """Each verb sends one signal and returns the reply; `facts`, `commands` hold all that came of the last one."""

    def __init__(self, workflow: Workflow | None = None, *, refold: bool = True) -> None:
        self.refold = refold
        self.workflow = workflow or compiled()
        self.state = CallState()
        self.history: list[ev.Fact] = []
        self.facts: tuple[ev.Fact, ...] = ()
        self.commands: tuple[Command, ...] = ()
        self._ms = 0

    def send(self, kind: type[Any], **fields: Json) -> Reply | None:
        self._ms += 100
        at = ev.Instant(START + timedelta(milliseconds=self._ms), self._ms)
        step: Step = advance(self.workflow, self.state, kind(at=at, **fields))
        self.state, self.facts, self.commands = step.state, step.facts, step.commands
        self.history.extend(step.facts)
        assert not self.refold or fold(self.history) == self.state, "the facts must tell the state"
        return step.reply

    def begin(self, **fields: Json) -> Play:
        self.send(ev.CallBegan, session_id="s-1", channel="chat_test", caller="+491701234567", **fields)
        return self

    def say(self, text: str) -> Play:
        self.send(ev.TurnHeard, text=text)
        return self

    def agent(self, text: str) -> Play:
        self.send(ev.AgentSpoke, text=text, spoken_text=text)
        self.send(ev.AnswerEnded)
        return self

    def path(self, path_id: str, stay: int | None = None, **values: Json) -> Reply:
        reply = self.send(ev.PathAsked, stay=stay or self.state.stay, path_id=path_id, values=values)
        assert reply is not None
        return reply

    def remember(self, **values: Json) -> Reply:
        reply = self.send(ev.ValuesGiven, stay=self.state.stay, values=values)
        assert reply is not None
        return reply

    def keys(self, keys: str) -> Play:
        facts: list[ev.Fact] = []
        for key in keys:
            self.send(ev.KeyPressed, key=key)
            facts += self.facts
        self.facts = tuple(facts)
        return self

    def types(self) -> list[str]:
        return [fact.event_type for fact in self.facts]

    def last(self, event_type: str) -> Any:
        return next(fact for fact in reversed(self.history) if fact.event_type == event_type)

    def count(self, event_type: str) -> int:
        return sum(fact.event_type == event_type for fact in self.history)
