"""The conversation that every side holds: three agents, their functions, a caller's lines, and what the model does about them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

__all__ = ["AGENTS", "COMPLETIONS", "LINES", "TEXTS", "TOOLS", "Agent", "Kind", "Line", "Reply", "counted", "reply"]

Json = Any
Kind = Literal["plain", "tool", "handoff"]

_PROMPT: Final = (
    "You are the {} of Acme, a mail-order company for garden furniture. Find out what the caller wants, answer what "
    "you can from the order system, and hand the call on where somebody else is in charge. Be brief and friendly."
)


@dataclass(frozen=True, slots=True)
class Agent:
    """One of the three: `paths` are agents it hands on to, `tools` the names of its functions in `TOOLS`."""

    key: str
    name: str
    paths: tuple[str, ...]
    tools: tuple[str, ...]

    @property
    def prompt(self) -> str:
        return _PROMPT.format(self.name)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that answers at once, as nothing real does: it takes one number and returns `result`."""

    name: str
    description: str
    argument: str
    result: Mapping[str, str]


AGENTS: Final[Mapping[str, Agent]] = {
    each.key: each
    for each in (
        Agent("front_desk", "front desk", ("orders", "billing"), ()),
        Agent("orders", "order desk", ("billing", "front_desk"), ("check_order",)),
        Agent("billing", "billing department", ("front_desk",), ("read_invoice",)),
    )
}
TOOLS: Final[Mapping[str, Tool]] = {
    each.name: each
    for each in (
        Tool(
            "check_order",
            "Looks an order up by its number.",
            "order_number",
            {"status": "shipped", "carrier": "DHL", "expected": "2026-05-06"},
        ),
        Tool(
            "read_invoice",
            "Looks an invoice up by its number.",
            "invoice_number",
            {"amount": "120.00", "currency": "EUR", "due": "2026-06-01"},
        ),
    )
}
TOPIC: Final = "what the call is about"
REMEMBER: Final = "Record what the caller has told you, as soon as you hear it."


@dataclass(frozen=True, slots=True)
class Line:
    """One turn of the caller's, and the function that the model calls about it."""

    text: str
    kind: Kind
    function: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


LINES: Final = (
    Line("Could you help me with something, please?", "plain"),
    Line("Put me through to the order desk.", "handoff", "to_orders"),
    Line("Where is my order 4711?", "tool", "check_order", {"order_number": "4711"}),
    Line("Thank you, that is what I wanted to know.", "plain"),
    Line("Put me through to billing.", "handoff", "to_billing"),
    Line("What does invoice 17 say?", "tool", "read_invoice", {"invoice_number": "17"}),
    Line("And is there anything that I have to do?", "plain"),
    Line("Put me through to the front desk.", "handoff", "to_front_desk"),
)
"""One round through the three agents: it ends where it began."""

COMPLETIONS: Final[Mapping[Kind, int]] = {"plain": 1, "tool": 2, "handoff": 2}
"""What a turn costs in requests: a tool's answer is told by the model, and so is the opening of the next agent."""

TEXTS: Final[Mapping[Kind, str]] = {
    "plain": (
        "Of course, I am glad to help you with that right away, so please tell me a little more about it "
        "and I will have a look."
    ),
    "tool": (
        "I have found it in our system just now, everything is on its way as it should be, and you will hear from us "
        "in a few days."
    ),
    "handoff": (
        "Hello, you have come to the right place now, my colleague has told me what it is about, so how may I help "
        "you with that today?"
    ),
}
_OPENING: Final = "Hello, this is Acme, how may I help you today?"


@dataclass(frozen=True, slots=True)
class Reply:
    """One completion: a text, or a call."""

    text: str = ""
    function: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


def reply(messages: Sequence[Mapping[str, Json]], offered: Collection[str]) -> Reply:
    """Return what the model does: it calls the function of the caller's last line while it is offered and unanswered."""
    known = {line.text: line for line in LINES}
    answered = False
    for message in reversed(messages):
        answered = answered or message["role"] == "tool"
        line = known.get(_text(message)) if message["role"] == "user" else None
        if line is None:
            continue
        if line.function in offered and not answered:
            return Reply(function=line.function, arguments=line.arguments)
        return Reply(TEXTS[line.kind])
    return Reply(_OPENING)


def counted(lines: Iterable[Line]) -> dict[str, int]:
    """Return what a conversation of these lines comes to: turns by kind, and completions."""
    found = {"plain": 0, "tool": 0, "handoff": 0, "completions": 0}
    for line in lines:
        found[line.kind] += 1
        found["completions"] += COMPLETIONS[line.kind]
    return found


def _text(message: Mapping[str, Json]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
