"""Calls that are over, and a model that answers about them as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from livekit.agents import llm
from livekit.agents.types import NOT_GIVEN

from runtime.session.after_call_ports import EndedCall
from runtime.session.ports import CallRow, EventRow
from runtime.voice.analyst import OpenProviders
from runtime.voice.pipeline import Providers
from tests.fakes.voice_providers import Answer, Asked, Ears, Mind, Standins, Throat, Throb
from tests.fakes.workflows import compiled, front_desk

Json = Any
START = datetime(2026, 5, 4, 13, 30, tzinfo=UTC)
ANALYSIS: dict[str, Json] = {
    "outcome": ["resolved", "call_back", "transferred"],
    "fields": [
        {"name": "order_number", "data_type": "digits", "min_length": 4, "description": "the order number"},
        {"name": "delivery_day", "data_type": "date", "description": "the day of delivery"},
        {"name": "refund", "data_type": "currency", "description": "the amount of the refund"},
    ],
}
TALK: tuple[tuple[str, Mapping[str, Json]], ...] = (
    ("call_started", {"channel": "phone", "caller": "+4930123456"}),
    ("agent_entered", {"agent_name": "Intake"}),
    ("agent_turn", {"agent_name": "Intake", "text": "Hello, this is Acme.", "spoken_text": "Hello, this is"}),
    ("user_turn", {"text": "My order has not come."}),
    ("path_taken", {"path_name": "To Orders", "variables": []}),
    ("agent_turn", {"agent_name": "Orders", "spoken_text": "What is the order number, please?"}),
    ("user_turn", {"text": "It is four two seven one."}),
    ("tool_started", {"name": "check_order", "arguments": {"number": "4271"}}),
    ("tool_succeeded", {"name": "check_order", "result_preview": '{"state": "lost"}'}),
    ("agent_turn", {"agent_name": "Orders", "spoken_text": "It is lost. We refund 12.50 euros by tomorrow."}),
    ("user_turn", {"text": "Thanks, goodbye."}),
    ("call_ended", {"reason": "caller_hangup", "status": "completed", "variables": {}}),
)


def ended(
    *talk: tuple[str, Mapping[str, Json]], analysis: Mapping[str, Json] | None = ANALYSIS, **config: Json
) -> EndedCall:
    """Return a call in which `talk` happened, and whose workflow asks for `analysis`."""
    base = front_desk(**config)
    base["session"] = {**base["session"], "analysis": analysis}
    events = [
        EventRow("s-1", "o-1", seq, kind, {"v": 1, "turn": 1, **payload}, None, START + timedelta(seconds=seq), "token")
        for seq, (kind, payload) in enumerate(talk or TALK, start=1)
    ]
    row = CallRow("s-1", "o-1", "v-1", "phone", "inbound", False, START, from_number="+4930123456")
    return EndedCall(row, events, compiled(base), "support")


@dataclass(frozen=True, slots=True)
class Read:
    """What the model was given for one answer."""

    messages: list[tuple[str, str]]
    schema: Mapping[str, Json]
    choice: Json
    extra: Json
    returned: tuple[str, ...] = ()

    @property
    def transcript(self) -> str:
        return next(text for role, text in self.messages if role == "user")


class Reader(Mind):
    """A `Mind` that keeps what it was given. `max_completion_tokens` makes it look like a plugin with a limit."""

    def __init__(self, answer: Callable[[Asked], Answer], *, max_completion_tokens: int | None = None) -> None:
        super().__init__(answer)
        self.reads: list[Read] = []

    def chat(self, **given: Any) -> llm.LLMStream:
        items = given["chat_ctx"].items
        (tool,) = given["tools"]
        self.reads.append(
            Read(
                [(item.role, item.text_content or "") for item in items if isinstance(item, llm.ChatMessage)],
                tool.info.raw_schema,
                given["tool_choice"],
                None if given["extra_kwargs"] is NOT_GIVEN else given["extra_kwargs"],
                tuple(item.output for item in items if isinstance(item, llm.FunctionCallOutput)),
            )
        )
        return super().chat(**given)


@dataclass(slots=True)
class Opened:
    """Makes the providers of a call around a model, and notes which were closed."""

    mind: Mind
    closed: list[str] = field(default_factory=list)

    async def __call__(self, call: EndedCall) -> Providers:
        closed = self.closed

        class Noted(Standins):
            async def aclose(self) -> None:
                closed.append(call.row.id)
                await super().aclose()

        return Noted(self.mind, Throat(), Ears(), Throb())


def named(**options: Any) -> OpenProviders:
    """Return what opens the providers that the workflow names."""

    async def opened(_call: EndedCall) -> Providers:
        return Providers(**options)

    return opened
