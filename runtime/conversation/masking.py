"""What of a fact is sensitive: a sensitive variable's value, and what is said while one is awaited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runtime.conversation import events as ev
from runtime.conversation.state import CallState
from runtime.variables import Context, VariableSpec, find_all, said
from runtime.workflow.graph import Workflow

__all__ = ["MASK", "awaited", "hidden"]

Json = Any
MASK = "•••"
TEXTS = ("text", "spoken_text", "raw", "digits", "entry", "result_preview", "message", "why")
TABLES = ("values", "arguments")
UNMISTAKABLE = frozenset({"string", "person_name", "boolean", "enum"})
"""Data types whose values cannot be told from other words; they are masked while they are awaited and once they are known."""


def awaited(workflow: Workflow, state: CallState) -> bool:
    """Tell whether a sensitive variable can be given at this agent and has not been yet."""
    if state.agent_id is None:
        return False
    return any(
        spec.sensitive and spec.name not in state.known
        for path in workflow.agents[state.agent_id].offered
        for spec in path.variables
    )


def hidden(workflow: Workflow, state: CallState, fact: ev.Fact, context: Context) -> dict[str, Json]:
    """Return, for each payload key of `fact` that must not be stored in clear, what stands in its place."""
    secrets = [spec for spec in workflow.variables.values() if spec.sensitive]
    if not secrets:
        return {}
    mask = _Mask(secrets, state, context, waiting=awaited(workflow, state))
    if isinstance(fact, ev.VariableFact):
        return mask.variable(fact)
    return mask.texts(fact) | mask.tables(fact) | mask.lists(fact)


class _Mask:
    def __init__(self, secrets: list[VariableSpec], state: CallState, context: Context, *, waiting: bool) -> None:
        self._secrets = {spec.name: spec for spec in secrets}
        self._unknown = [spec for spec in secrets if spec.name not in state.known]
        self._values = [
            (spec, held.value)
            for spec in secrets
            for held in (state.known.get(spec.name), state.pending.get(spec.name))
            if held is not None
        ]
        self._context = context
        self._before = " ".join(state.partials)
        self._waiting = waiting

    def variable(self, fact: ev.VariableFact) -> dict[str, Json]:
        keys = ("value", "raw") if fact.name in self._secrets else ("raw",) if self._tells(fact.raw) else ()
        return {key: MASK for key in keys if getattr(fact, key) is not None}

    def texts(self, fact: ev.Fact) -> dict[str, Json]:
        keys = [key for key in TEXTS if isinstance(getattr(fact, key, None), str) and getattr(fact, key)]
        return {key: MASK for key in keys if self._tells(getattr(fact, key))}

    def tables(self, fact: ev.Fact) -> dict[str, Json]:
        public: dict[str, Json] = {}
        for key in TABLES:
            table = getattr(fact, key, None)
            if isinstance(table, Mapping) and any(self._item(name, value) for name, value in table.items()):
                public[key] = {name: MASK if self._item(name, value) else value for name, value in table.items()}
        if isinstance(fact, ev.CallEnded):
            kept = {name: MASK if name in self._secrets else value for name, value in fact.variables.items()}
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

    def _tells(self, value: Json) -> bool:
        if value is None or isinstance(value, bool):
            return False
        if self._waiting:
            return True
        text = value if isinstance(value, str) else str(value)
        return any(said(spec, held, text, self._context) or str(held) in text for spec, held in self._values) or any(
            find_all(spec, words, self._context)
            for spec in self._unknown
            if spec.data_type not in UNMISTAKABLE
            for words in (text, f"{self._before} {text}")
        )
