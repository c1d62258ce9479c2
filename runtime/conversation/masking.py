"""What of a fact is sensitive: a sensitive variable's value, and what is said while one is awaited."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from runtime.conversation import events as ev
from runtime.conversation.state import CallState
from runtime.variables import UNMISTAKABLE, Context, find_all, said
from runtime.workflow.graph import Workflow

__all__ = ["MASK", "Held", "awaited", "hidden"]

Json = Any
MASK = "•••"
TEXTS = ("text", "spoken_text", "raw", "digits", "entry", "result_preview", "message", "why")
TABLES = ("values", "arguments", "assigned")


def awaited(workflow: Workflow, state: CallState) -> bool:
    """Tell whether a sensitive variable can be given at this agent and has not been yet."""
    if state.agent_id is None:
        return False
    asked = workflow.variables.get(state.asked or "")
    return (asked is not None and asked.sensitive) or any(
        spec.sensitive and spec.name not in state.known
        for path in workflow.agents[state.agent_id].offered
        for spec in path.variables
    )


def hidden(workflow: Workflow, state: CallState, fact: ev.Fact, context: Context, before: str = "") -> dict[str, Json]:
    """Return, for each payload key of `fact` that must not be stored in clear, what stands in its place.

    `before` is what the caller had begun to dictate when the signal came: the end of a secret is one, too.
    """
    if not workflow.secrets:
        return {}
    mask = _Mask(workflow, state, context, before)
    if isinstance(fact, ev.VariableFact):
        return mask.variable(fact)
    return mask.texts(fact) | mask.tables(fact) | mask.lists(fact)


class Held:
    """The sensitive values that a call knows: in later turns no model is to read them.

    Two that are `like` each other find the same in the same text.
    """

    def __init__(self, workflow: Workflow, state: CallState, context: Context) -> None:
        self.values = [
            (spec, held.value)
            for spec in workflow.secrets
            for held in (state.known.get(spec.name), state.pending.get(spec.name))
            if held is not None
        ]
        self._context = context

    def like(self, other: Held) -> bool:
        """Whether the values are the same, and words like "tomorrow" mean the same."""
        ours, theirs = self._context, other._context
        meant = (ours.now.date(), ours.region, ours.language) == (theirs.now.date(), theirs.region, theirs.language)
        return meant and self.values == other.values

    def told_in(self, value: Json) -> bool:
        """Whether a text, or a value as JSON, contains one of them."""
        if not self.values or value is None or isinstance(value, bool):
            return False
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        return any(said(spec, held, text, self._context) or _written(held, text) for spec, held in self.values)


def _written(held: Json, text: str) -> bool:
    if isinstance(held, bool):
        return False
    items = held.values() if isinstance(held, Mapping) else (held,)
    return all(re.search(rf"(?<!\w){re.escape(str(item))}(?!\w)", text) for item in items)


class _Mask:
    def __init__(self, workflow: Workflow, state: CallState, context: Context, before: str) -> None:
        self._secrets = {spec.name: spec for spec in workflow.secrets}
        menu = workflow.agents[state.agent_id].dtmf if state.agent_id is not None else {}
        self._menu = set(menu)
        self._keyed = any(spec.dtmf for spec in workflow.secrets)
        self._held = Held(workflow, state, context)
        self._context = context
        self._before = before
        self._waiting = awaited(workflow, state)

    def variable(self, fact: ev.VariableFact) -> dict[str, Json]:
        if fact.name in self._secrets:
            keys = ["value", "raw"]
        else:
            keys = ["raw"] if self._tells(fact.raw) else []
            keys += ["value"] if self._same(fact.value) else []
        return {key: MASK for key in keys if getattr(fact, key) is not None}

    def texts(self, fact: ev.Fact) -> dict[str, Json]:
        keys = [key for key in TEXTS if isinstance(getattr(fact, key, None), str) and getattr(fact, key)]
        public: dict[str, Json] = {key: MASK for key in keys if self._tells(getattr(fact, key))}
        if isinstance(fact, ev.DtmfReceived) and fact.entry is None and self._keyed and fact.digits not in self._menu:
            public["digits"] = MASK  # a secret keyed outside of an entry would be told key by key
        return public

    def tables(self, fact: ev.Fact) -> dict[str, Json]:
        public: dict[str, Json] = {}
        for key in TABLES:
            table = getattr(fact, key, None)
            if isinstance(table, Mapping) and any(self._item(name, value) for name, value in table.items()):
                public[key] = {name: MASK if self._item(name, value) else value for name, value in table.items()}
        if isinstance(fact, ev.CallEnded):
            kept = {name: MASK if self._named_or_held(name, value) else value for name, value in fact.variables.items()}
            public |= {"variables": kept} if kept != fact.variables else {}
        return public

    def lists(self, fact: ev.Fact) -> dict[str, Json]:
        public: dict[str, Json] = {}
        guard = getattr(fact, "guard", None)
        if guard is not None and (read := self._secrets.keys() & guard.values.keys()):
            shown = {name: MASK if name in read else value for name, value in guard.values.items()}
            public["guard"] = {**guard.model_dump(mode="json"), "values": shown}
        if isinstance(fact, ev.PathTaken):
            public |= self._named("variables", fact.variables)
        if isinstance(fact, ev.PathRefused):
            public |= self._named("invalid", fact.invalid)
        return public

    def _named(self, key: str, items: Iterable[ev.TakenVariable | ev.InvalidValue]) -> dict[str, Json]:
        rows = [item.model_dump(mode="json") for item in items]
        public = [{**row, "value": MASK} if self._item(row["name"], row["value"]) else row for row in rows]
        return {key: public} if public != rows else {}

    def _item(self, name: str, value: Json) -> bool:
        return name in self._secrets or self._waiting or self._tells(value)

    def _named_or_held(self, name: str, value: Json) -> bool:
        return name in self._secrets or self._same(value)

    def _same(self, value: Json) -> bool:
        return not isinstance(value, bool) and any(str(held) == str(value) for _, held in self._held.values)

    def _tells(self, value: Json) -> bool:
        if value is None or isinstance(value, bool):
            return False
        if self._waiting:
            return True
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        return self._held.told_in(value) or any(
            find_all(spec, words, self._context)
            for spec in self._secrets.values()
            if spec.data_type not in UNMISTAKABLE
            for words in (text, f"{self._before} {text}")
        )
