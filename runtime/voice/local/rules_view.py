"""What a model gets, read into values: functions with their parameters, the prompt's lists, and the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from livekit.agents import llm

from runtime.variables import VariableSpec
from runtime.voice.local.rules_schema import Function, read_function, refined
from runtime.voice.local.rules_texts import STANDING, Prompt, Wanted, read_prompt, read_refusal

__all__ = ["Answered", "Called", "Heard", "Item", "Moved", "Spoke", "View", "read_view"]

REMEMBER = "remember"
_MOVED = "conversation has moved on"
_LONGEST = 800  # characters of one turn that are read; a caller's turn is a few sentences


@dataclass(frozen=True, slots=True)
class Heard:
    """The caller said `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Spoke:
    """The agent said `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """The model called a function; `arguments` are JSON."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Answered:
    """A function came back with `text`."""

    name: str
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """The conversation went on at another agent."""


Item = Heard | Spoke | Called | Answered | Moved


@dataclass(frozen=True)
class View:
    """All that a model gets, in the order it was given. `told` is an instruction that follows the history, if any."""

    system: str
    functions: tuple[Function, ...] = ()
    items: tuple[Item, ...] = ()
    told: str = ""

    @cached_property
    def prompt(self) -> Prompt:
        """What the system prompt tells of the variables."""
        return read_prompt(self.system)

    @cached_property
    def offered(self) -> tuple[Function, ...]:
        """The paths and tools: every function but `remember`."""
        return tuple(function for function in self.functions if function.name != REMEMBER)

    @cached_property
    def remember(self) -> Function | None:
        """The function that records values, where it is offered."""
        return next((function for function in self.functions if function.name == REMEMBER), None)

    @cached_property
    def variables(self) -> Mapping[str, VariableSpec]:
        """Every variable and parameter by name, with what the prompt and the refusals tell of its form."""
        specs = {spec.name: spec for function in reversed(self.functions) for spec in function.parameters}
        for wanted in self._described():
            specs[wanted.name] = refined(specs.get(wanted.name, VariableSpec(wanted.name)), wanted)
        return specs

    def _described(self) -> Iterator[Wanted]:
        for item in self.items:
            if isinstance(item, Answered):
                yield from read_refusal(item.text).missing
        for wanted in self.prompt.missing.values():
            yield from wanted

    def function(self, name: str) -> Function | None:
        """Return the function of this name."""
        return next((function for function in self.functions if function.name == name), None)

    def needs(self, function: Function) -> tuple[str, ...]:
        """Return the names of what the function still lacks, in the order to be asked."""
        listed = [wanted.name for wanted in self.prompt.missing.get(function.name, ())]
        asked = [name for name in function.required if name not in listed and name not in self.prompt.known]
        return (*listed, *asked)


def read_view(chat_ctx: llm.ChatContext, tools: Sequence[llm.Tool]) -> View:
    """Read a chat context and its tools; what cannot be read is left out, nothing is raised."""
    system: list[str] = []
    items: list[Item] = []
    told = ""
    names = {raw.call_id: raw.name for raw in chat_ctx.items if isinstance(raw, llm.FunctionCall)}
    for raw in chat_ctx.items:
        if isinstance(raw, llm.ChatMessage) and raw.role in {"system", "developer"}:
            text = _clean(raw.raw_text_content)
            told = text if items and not text.startswith(STANDING) else ""
            system.append(text)
        elif (item := _item(raw, names)) is not None:
            items.append(item)
            told = ""
    functions = tuple(function for tool in tools if (function := read_function(tool)) is not None)
    return View("\n\n".join(system), functions, tuple(items), told)


def _item(raw: llm.ChatItem, names: Mapping[str, str]) -> Item | None:
    match raw:
        case llm.ChatMessage(role="user"):
            text = _clean(raw.raw_text_content).strip()
            return Heard(text[:_LONGEST]) if text else None
        case llm.ChatMessage(role="assistant"):
            text = _clean(raw.text_content).strip()
            return Spoke(text[:_LONGEST]) if text else None
        case llm.FunctionCall():
            return Called(raw.name, raw.arguments)
        case llm.FunctionCallOutput():
            if _MOVED in raw.output[:200]:
                return Moved()
            return Answered(raw.name or names.get(raw.call_id, ""), _clean(raw.output), raw.is_error)
        case llm.AgentHandoff():
            return Moved()
        case _:
            return None


def _clean(text: str | None) -> str:
    """Return the text without lone surrogates, which no stream can carry."""
    return (text or "").encode("utf-8", "replace").decode("utf-8")
