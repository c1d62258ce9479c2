"""What a model gets to read of a call: what was said, without LiveKit's instructions and what is sensitive; and keeping it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from livekit.agents import llm
from pydantic import ValidationError

from runtime.conversation import masking
from runtime.conversation.scene import Scene
from runtime.session.recovery import SavedItem, checkpoint_text

__all__ = ["Heading", "Saved", "Veil", "is_said", "restored", "system", "takes_notes", "with_note"]

Json = Any
MOST_ITEMS = 500
"""More than fit into a checkpoint."""


class Veil:
    """Masks sensitive values in what was said before the caller's last turn: a spoken one reaches only its own turn.

    To look for values in a text takes long, so each text of a call is looked through once for as long as the values stay the same.
    """

    def __init__(self) -> None:
        self._held: masking.Held | None = None
        self._seen: dict[str, tuple[str, bool, llm.ChatItem]] = {}

    def over(self, items: list[llm.ChatItem], scene: Scene, secret_turns: Collection[str]) -> list[llm.ChatItem]:
        """Return the items, masked."""
        if not scene.workflow.secrets:
            return items
        held = masking.Held(scene.workflow, scene.state, scene.context)
        if self._held is None or not held.like(self._held):
            self._held = held
            self._seen.clear()
        last = max((at for at, item in enumerate(items) if _by_caller(item)), default=0)
        kept: list[llm.ChatItem] = []
        secret_turn = False
        for at, item in enumerate(items):
            secret_turn = item.id in secret_turns if _by_caller(item) else secret_turn
            kept.append(self._veiled(item, held, secret_turn=secret_turn) if at < last else item)
        return kept

    def _veiled(self, item: llm.ChatItem, held: masking.Held, *, secret_turn: bool) -> llm.ChatItem:
        text = _text(item)
        seen = self._seen.get(item.id)
        if seen is None or seen[:2] != (text, secret_turn):
            seen = self._seen[item.id] = (text, secret_turn, _masked(item, text, held, secret_turn=secret_turn))
        return seen[2]


class Heading:
    """The system message that stands before all others, for as long as its text stays the same."""

    def __init__(self) -> None:
        self._text = ""
        self._message = system("")

    def __call__(self, text: str) -> llm.ChatMessage:
        if text != self._text:
            self._text, self._message = text, system(text)
        return self._message


def system(text: str) -> llm.ChatMessage:
    """Return a message of the engine's to the model."""
    return llm.ChatMessage(role="system", content=[text], created_at=0)


def with_note(items: Sequence[llm.ChatItem], note: str) -> list[llm.ChatItem]:
    """Return the items with a note of the engine's before the caller's last words.

    What stands before it is the same from turn to turn, so that a provider that keeps what it has read need not read it
    again; and the last words are still the caller's, which is what models answer best.
    """
    if not note:
        return list(items)
    last = max((at for at, item in enumerate(items) if _by_caller(item)), default=len(items))
    return [*items[:last], system(note), *items[last:]]


def takes_notes(model: object) -> bool:
    """Whether a system message behind others reaches the model as one (it says so of itself).

    Other clients refuse it, or hand it on as the caller's words.
    """
    if isinstance(model, llm.FallbackAdapter):
        return all(map(takes_notes, model._llm_instances))  # noqa: SLF001 - the adapter tells nobody whom it asks
    return bool(getattr(model, "takes_notes", False))


def _by_caller(item: llm.ChatItem) -> bool:
    return item.type == "message" and item.role == "user"


def _text(item: llm.ChatItem) -> str:
    match item:
        case llm.ChatMessage():
            return item.text_content or ""
        case llm.FunctionCall():
            return item.arguments
        case llm.FunctionCallOutput():
            return item.output
        case _:
            return ""


def _masked(item: llm.ChatItem, text: str, held: masking.Held, *, secret_turn: bool) -> llm.ChatItem:
    """Return the item without what is sensitive; of a turn in which it was awaited only the agent's words are kept."""
    spoken_by_agent = item.type == "message" and item.role == "assistant"
    if not (secret_turn and not spoken_by_agent) and not held.told_in(text):
        return item
    match item:
        case llm.ChatMessage():
            return item.model_copy(update={"content": [masking.MASK]})
        case llm.FunctionCall():
            return item.model_copy(update={"arguments": "{}"})
        case llm.FunctionCallOutput():
            return item.model_copy(update={"output": masking.MASK})
        case _:
            return item


def is_said(item: llm.ChatItem) -> bool:
    """Whether it is part of the conversation and no instruction or note about it."""
    if item.type == "message":
        return item.role not in {"system", "developer"}
    return item.type in {"function_call", "function_call_output"}


class Saved:
    """A call's history as a checkpoint's text; each item is written once, and used again from one time to the next."""

    def __init__(self) -> None:
        self._known: dict[str, SavedItem] = {}

    def __len__(self) -> int:
        return len(self._known)

    def text(self, history: llm.ChatContext, secret_turns: Collection[str]) -> str:
        """Return what was said: without sound, times and metrics, as the model had it."""
        said = [item for item in history.items[-MOST_ITEMS:] if is_said(item)]
        fresh = [item for item in said if item.id not in self._known]
        written = llm.ChatContext(fresh).to_dict(exclude_metrics=True)["items"] if fresh else ()
        self._known.update((item["id"], SavedItem.of(item)) for item in written)
        if len(self._known) > 2 * MOST_ITEMS:
            self._known = {item.id: self._known[item.id] for item in said}
        return checkpoint_text([self._known[item.id] for item in said], sorted(secret_turns))


def restored(items: Sequence[Mapping[str, Json]]) -> list[llm.ChatItem] | None:
    """Return chat items from their dicts, as said just now; None where they are no chat items."""
    try:
        history = llm.ChatContext.from_dict({"items": [dict(item) for item in items]})
    except ValidationError:
        return None
    now = time.time()
    for back, item in enumerate(reversed(history.items), 1):
        # The clock they were said by may be ahead of ours, and what is said next goes where its time is.
        item.created_at = now - back / 1000
    return history.items
