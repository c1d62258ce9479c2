"""`python -m benchmarks.hot_paths COUNTER.so`: the pure core's and the writer's hot paths, each between two marks of the counter."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from runtime.conversation import events as ev
from runtime.conversation import prompts
from runtime.conversation.folding import fold
from runtime.conversation.interpreter import advance
from runtime.conversation.scene import Scene
from runtime.conversation.state import CallState
from runtime.session.ports import EventRow
from runtime.session.records import decode, encode
from runtime.store import rows
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow

__all__ = ["TIMES", "paths"]

Json = Any

TIMES: Final = 50
_WARM_UP: Final = 200
"""As often as the interpreter needs to specialise its instructions."""
_BATCH: Final = 200
_START: Final = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
_CALL: Final = "2f0c8a52-6f0e-4d6e-9b8a-0f3b5a1c00aa"
_ORGANIZATION: Final = "3f0c8a52-6f0e-4d6e-9b8a-0f3b5a1c00bb"
_EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "front_desk" / "workflow.yaml"
_TO_BILLING: Final = "5f0c8a52-6f0e-4d6e-9b8a-0f3b5a1c0011"


class _Call:
    """A call of the front desk, advanced as far as the hot paths need it."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.state = CallState()
        self.facts: list[ev.Fact] = []
        self._ms = 0

    def at(self) -> ev.Instant:
        self._ms += 100
        return ev.Instant(_START + timedelta(milliseconds=self._ms), self._ms)

    def send(self, kind: type[Any], **fields: Json) -> None:
        step = advance(self.workflow, self.state, kind(at=self.at(), **fields))
        self.state = step.state
        self.facts += step.facts


def paths() -> Mapping[str, Callable[[], object]]:
    """Return what is measured by name: each does the same at every call, and changes nothing."""
    call = _talk()
    workflow, state, at = call.workflow, call.state, call.at()
    heard = ev.TurnHeard(at=at, text="there is a mistake in my bill and I would like to know why")
    values = ev.ValuesGiven(at=at, stay=state.stay, values={"customer_number": "4271"})
    asked = ev.PathAsked(at=at, stay=state.stay, path_id=_TO_BILLING, values={"customer_number": "4271"})
    refused = ev.PathAsked(at=at, stay=state.stay, path_id=_TO_BILLING, values={"customer_number": "x"})
    events = [_row(fact, seq) for seq, fact in enumerate(call.facts, 1)]
    batch = (events * (1 + _BATCH // len(events)))[:_BATCH]
    line, fact = encode(events[-1]), call.facts[-1]
    return {
        "caller_turn": lambda: advance(workflow, state, heard),
        "remember": lambda: advance(workflow, state, values),
        "path_taken": lambda: advance(workflow, state, asked),
        "path_refused": lambda: advance(workflow, state, refused),
        "system_prompt": lambda: prompts.instructions(Scene(workflow, {}, state, at)),
        "payload": fact.payload,
        "fold_40_facts": lambda: fold(call.facts[:40]),
        "log_line": lambda: encode(events[-1]),
        "log_line_read": lambda: decode(line[:-1]),
        "batch_of_200": lambda: rows.event_columns(batch),
    }


def _talk() -> _Call:
    config = WorkflowConfig.model_validate(yaml.safe_load(_EXAMPLE.read_text(encoding="utf-8")))
    call = _Call(compile_workflow(config))
    call.send(ev.CallBegan, session_id=_CALL, channel="chat_test", caller="+491701234567")
    for number in range(20):
        _said(call, f"This is answer {number}. What else may I do for you?")
        call.send(ev.TurnHeard, text=f"here is what I say in turn {number} of this call")
    _said(call, "May I have your customer number, please?")
    call.send(ev.TurnHeard, text="it is four two seven one")
    return call


def _said(call: _Call, text: str) -> None:
    call.send(ev.AgentSpoke, text=text, spoken_text=text)
    call.send(ev.AnswerEnded)


def _row(fact: ev.Fact, seq: int) -> EventRow:
    return EventRow(_CALL, _ORGANIZATION, seq, fact.event_type, fact.payload(), None, _START)


def main() -> None:
    counter = ctypes.CDLL(sys.argv[1])
    gc.disable()
    for name, work in paths().items():
        for _ in range(_WARM_UP):
            work()
        counter.begin()
        for _ in range(TIMES):
            work()
        counter.end(name.encode())


if __name__ == "__main__":
    main()
