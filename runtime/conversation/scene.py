"""One signal being handled: the state so far, and the facts and commands it leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from runtime.conversation import events as ev
from runtime.conversation import masking
from runtime.conversation.commands import Command
from runtime.conversation.folding import apply
from runtime.conversation.state import CallState
from runtime.variables import Context, VariableSpec
from runtime.workflow.graph import Agent, Workflow

__all__ = ["Reply", "Scene", "Step"]

Json = Any
F = TypeVar("F", bound=ev.Fact)
MAX_TEXT = 8000


@dataclass(frozen=True, slots=True)
class Reply:
    """What the one who asked gets to know: `text` is written for a model to read.

    `accepted` tells whether it was done; `moved` that the conversation went on elsewhere, so that nothing is to be
    said here any more; `needs_answer` that the caller must hear something about it.
    """

    text: str
    accepted: bool = True
    moved: bool = False
    needs_answer: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """What one signal led to."""

    state: CallState
    facts: tuple[ev.Fact, ...] = ()
    commands: tuple[Command, ...] = ()
    reply: Reply | None = None


class Scene:
    """Collects what follows from one signal; each fact is folded into the state as it is recorded."""

    def __init__(self, workflow: Workflow, workspace: Mapping[str, str], state: CallState, at: ev.Instant) -> None:
        self.workflow = workflow
        self.workspace = workspace
        self.state = state
        self.at = at
        self.said: list[str] = []
        self.cause: int | None = state.cue
        self._before = " ".join(state.partials)
        self._facts: list[ev.Fact] = []
        self._commands: list[Command] = []
        self._opened = False

    @property
    def agent(self) -> Agent:
        """The agent the call is at; only to be asked while there is one."""
        assert self.state.agent_id is not None
        return self.workflow.agents[self.state.agent_id]

    @property
    def context(self) -> Context:
        """What the data types need to know of this moment."""
        return Context(
            now=self.at.wall.astimezone(self.workflow.zone),
            region=self.workflow.region,
            language=self.language,
        )

    @property
    def language(self) -> str:
        """The language spoken here: the agent's, or the session's."""
        return self.agent.language if self.state.agent_id is not None else self.workflow.language

    def record(self, kind: type[F], **fields: Json) -> F:
        """Make a fact, fold it in, and return it. What comes from outside is made storable here."""
        common: dict[str, Json] = {
            "at": self.at.wall,
            "turn": fields.pop("turn", self.state.turn),
            "elapsed_ms": self.at.elapsed_ms,
            "caused_by": self.cause,
        }
        if issubclass(kind, ev.AgentFact) and self.state.agent_id is not None:
            common |= {"agent_id": self.state.agent_id, "agent_name": self.agent.name}
        fact = kind.model_validate(common | {key: storable(value) for key, value in fields.items()})
        if self.workflow.secrets and (
            hidden := masking.hidden(self.workflow, self.state, fact, self.context, self._before)
        ):
            fact = fact.model_copy(update={"hidden": hidden})
        self.state = apply(self.state, fact)
        self._facts.append(fact)
        if not self._opened:
            self._opened = True
            self.cause = self.state.seq
        return fact

    def take_said(self) -> str:
        """Return what the paths and the greeting want said, as one utterance, and forget it."""
        text = " ".join(filter(None, self.said))
        self.said.clear()
        return text

    def order(self, command: Command) -> None:
        """Add a command."""
        self._commands.append(command)

    @property
    def last_fact(self) -> ev.Fact | None:
        """The fact recorded last for this signal."""
        return self._facts[-1] if self._facts else None

    def spec(self, name: str) -> VariableSpec | None:
        """Return the declared variable of this name."""
        return self.workflow.variables.get(name)

    def done(self, reply: Reply | None = None) -> Step:
        """Return what came of it."""
        return Step(self.state, tuple(self._facts), tuple(self._commands), reply)


def storable(value: Json, depth: int = 0) -> Json:
    """Return the value as Postgres and JSON can hold it: no NUL, no lone surrogate, no NaN, bounded in length and depth."""
    match value:
        case None | bool():
            return value
        case str():
            return _storable_text(value)
        case int():
            return str(value)[:40] if abs(value) > 2**63 else value
        case float():
            return value if value - value == 0 else None
        case _:
            return _storable_items(value, depth)


def _storable_text(text: str) -> str:
    if text.isascii() and len(text) <= MAX_TEXT and "\x00" not in text:
        return text
    return text[:MAX_TEXT].replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _storable_items(value: Json, depth: int) -> Json:
    match value:
        case list():
            return "…" if depth > 8 else [storable(item, depth + 1) for item in value[:200]]
        case Mapping():
            if depth > 8:
                return "…"
            return {
                _storable_text(str(key)[:200]): storable(item, depth + 1) for key, item in list(value.items())[:200]
            }
        case _:
            return value
