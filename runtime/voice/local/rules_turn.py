"""What the stand-in makes of what the caller has just said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.variables import VariableSpec, affirmation
from runtime.voice.local import rules_wording as wording
from runtime.voice.local.rules_match import choose, content, is_farewell
from runtime.voice.local.rules_place import (
    KEYED,
    asked_for,
    asking_path,
    dictated,
    figures_before,
    in_progress,
    keyed_path,
    last_words,
    refused,
    stay_before,
)
from runtime.voice.local.rules_schema import Function
from runtime.voice.local.rules_values import figures_in, gather, raw_attempt
from runtime.voice.local.rules_view import Spoke, View

__all__ = ["Answer", "Call", "CallerTurn"]

Json = Any

_GREETING = re.compile(r"\W*(?:hello|hi|hey|good (?:morning|afternoon|evening|day))(?: there)?\W*", re.IGNORECASE)
_THANKS = re.compile(r"\b(?:thanks|thank you)\b", re.IGNORECASE)
_SURE = 2.0  # the score a path needs while an answer to something else is awaited
_UNTOLD = "(given, secret)"
_NAMELESS = frozenset({"number", "id", "code"})
_ONE_OF_A_KIND = frozenset({"date", "time", "datetime", "email", "phone", "person_name", "currency"})


@dataclass(frozen=True, slots=True)
class Call:
    """A function to be called."""

    name: str
    arguments: Mapping[str, Json] = field(default_factory=dict)

    @property
    def as_json(self) -> str:
        """The arguments as a model writes them."""
        return json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the stand-in answers: what it says, and at most two functions it calls."""

    text: str = ""
    calls: tuple[Call, ...] = ()


class CallerTurn:
    """The caller has just said something at this agent."""

    def __init__(self, view: View, text: str) -> None:
        self._view = view
        self._text = text
        self._dictated = dictated(view, text)
        self._before = stay_before(view)
        self._spoken = last_words(self._before)
        self._progress = in_progress(view, self._before)
        self._asked = asked_for(view, self._progress, self._before)
        self._progress = self._progress or asking_path(view, self._asked)
        self._refused = refused(view, self._before)

    def answer(self, must_call: str | None = None) -> Answer:
        if KEYED.fullmatch(self._text):
            return self._after_keys()
        chosen = self._view.function(must_call) if must_call else self._chosen()
        target = chosen or self._progress
        values = self._gather(target)
        own = _takes(target, values)
        if chosen is None and not own and _takes(self._refused, values):
            target, own = self._refused, True
        if target is not None and (chosen is not None or own or self._agreed(target)):
            return self._request(target, values)
        if values:
            return self._note(values)
        spec = self._view.variables.get(self._asked or "")
        raw = raw_attempt(spec, self._text) if spec is not None else None
        if spec is not None and raw is not None:
            if target is not None and target.takes(spec.name):
                return self._request(target, {spec.name: raw})
            return self._note({spec.name: raw})
        return Answer(self._other())

    def ask_again(self) -> str:
        """Return what to say where nothing may be done."""
        return self._question() or wording.HELP

    def _after_keys(self) -> Answer:
        """Go on after a keypad entry, whose value the engine has taken already where it was one."""
        target = self._progress or keyed_path(self._view, self._text)
        if target is None or self._view.needs(target) or self._view.prompt.unconfirmed:
            return Answer(self._other())
        return self._request(target, {})

    def _chosen(self) -> Function | None:
        text = self._text
        if wording.ANYTHING_ELSE in self._spoken and affirmation(text) == "no":
            text += " goodbye"
        return choose(self._view.offered, text, _SURE if self._asked else 1.0)

    def _gather(self, target: Function | None) -> dict[str, Json]:
        target = target or self._refused
        open_ = frozenset(spec.name for spec in self._refused.parameters) if self._refused else frozenset[str]()
        remember = self._view.remember
        names = [spec.name for function in (target, remember) if function is not None for spec in function.parameters]
        specs = [self._view.variables[name] for name in dict.fromkeys(names)]
        own = frozenset(spec.name for spec in target.parameters) if target is not None else frozenset[str]()
        known = self._view.prompt.known
        alone = gather(specs, self._text, self._asked, known, own, open_)
        if self._asked not in alone and (joined := self._joined()):
            return joined
        if self._dictated == self._text or _begun_anew(alone.get(self._asked or ""), self._dictated):
            return alone
        return gather(specs, self._dictated, self._asked, known, own, open_)

    def _joined(self) -> dict[str, Json]:
        """Return the digits asked for where the caller's figures before this turn are their first part."""
        spec = self._view.variables.get(self._asked or "")
        if spec is None or spec.data_type != "digits":
            return {}
        return gather([spec], figures_before(self._before, self._text), spec.name, {}, frozenset())

    def _agreed(self, target: Function) -> bool:
        """Tell whether a `yes` has just settled the last thing the function in progress waited for."""
        waiting = self._view.needs(target) or self._view.prompt.unconfirmed
        return not waiting and affirmation(self._text) == "yes"

    def _request(self, function: Function, values: Mapping[str, Json]) -> Answer:
        own = {name: value for name, value in values.items() if function.takes(name)}
        for name in function.required:
            if name not in own and (known := self._known_as(self._view.variables[name])) is not None:
                own[name] = known
        missing = [name for name in function.required if name not in own]
        rest = {name: value for name, value in values.items() if missing or name not in own}
        noted = self._remember(rest)
        if missing:
            return Answer(self.asking(self._view.variables[missing[0]]), noted)
        return Answer("", (*noted, Call(function.name, own)))

    def _known_as(self, spec: VariableSpec) -> str | None:
        """Return the known value that a tool's parameter means: that of its name, or the only one of its type."""
        known = self._view.prompt.known
        if known.get(spec.name, _UNTOLD) != _UNTOLD:
            return known[spec.name]
        alike = [
            value
            for name, value in known.items()
            if name in self._view.variables and _means(spec, self._view.variables[name])
        ]
        return alike[0] if len(alike) == 1 and alike[0] != _UNTOLD else None

    def _remember(self, values: Mapping[str, Json]) -> tuple[Call, ...]:
        remember = self._view.remember
        declared = {name: value for name, value in values.items() if remember is not None and remember.takes(name)}
        return (Call(remember.name, declared),) if remember is not None and declared else ()

    def _note(self, values: Mapping[str, Json]) -> Answer:
        calls = self._remember(values)
        text = self._question(without=frozenset(values)) or wording.OPEN
        return Answer(f"{wording.THANKS} {text}", calls) if calls else Answer(self._other())

    def _question(self, without: frozenset[str] = frozenset()) -> str | None:
        """Return the question for what the function in progress needs next."""
        if self._progress is None:
            return None
        needs = [name for name in self._view.needs(self._progress) if name not in without]
        specs = self._view.variables
        return wording.question(specs[needs[0]]) if needs and needs[0] in specs else None

    def asking(self, spec: VariableSpec) -> str:
        return self._unless_stuck(wording.question(spec))

    def _unless_stuck(self, question: str) -> str:
        """Return the question; asked in vain twice already, it comes with what can be done here."""
        said = [item.text for item in self._before if isinstance(item, Spoke)][:2]
        stuck = len(said) == 2 and all(question in text for text in said)
        return f"{wording.offer(self._view.offered)} {question}" if stuck else question

    def _other(self) -> str:
        """Answer what asks for no function and holds no value."""
        pending = self._view.prompt.unconfirmed
        if pending:
            return self._unless_stuck(wording.read_back(next(iter(pending.values()))))
        if (question := self._question()) is not None:
            return self._unless_stuck(question)
        if self._asked is not None and (spec := self._view.variables.get(self._asked)) is not None:
            return self.asking(spec)
        return self._small_talk()

    def _small_talk(self) -> str:
        if is_farewell(self._text) or (wording.ANYTHING_ELSE in self._spoken and affirmation(self._text) == "no"):
            return wording.GOODBYE
        if _GREETING.fullmatch(self._text):
            return wording.HELLO
        if _THANKS.search(self._text):
            return f"You are welcome. {wording.ANYTHING_ELSE}"
        if affirmation(self._text) == "yes":
            return wording.HELP
        return wording.offer(self._view.offered)


def _takes(function: Function | None, values: Mapping[str, Json]) -> bool:
    """Tell whether any of the values is the function's own."""
    return function is not None and any(function.takes(name) for name in values)


def _means(parameter: VariableSpec, other: VariableSpec) -> bool:
    """Tell whether a known variable may stand for a tool's parameter of another name."""
    words = content(parameter.name.replace("_", " ")) - _NAMELESS
    shared = words & content(other.name.replace("_", " "))
    return bool(shared) or (other.data_type == parameter.data_type and other.data_type in _ONE_OF_A_KIND)


def _begun_anew(value: Json, dictated: str) -> bool:
    """Tell whether a value, given after a part of one, starts again: `forty two`, then `four two seven one`."""
    if not isinstance(value, str):
        return False
    whole = figures_in(dictated)
    before = whole.removesuffix(value)
    return before not in {"", whole} and value.startswith(before)
