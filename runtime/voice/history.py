"""What a model gets to read of a call: what was said, without LiveKit's instructions and what is sensitive; and keeping it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from livekit.agents import llm
from pydantic import ValidationError

from runtime.conversation import masking
from runtime.conversation.scene import Scene
from runtime.session.recovery import checkpoint_text

__all__ = ["is_said", "restored", "saved", "system", "without_secrets"]

Json = Any
MOST_ITEMS = 500
"""More than fit into a checkpoint."""


def without_secrets(items: list[llm.ChatItem], scene: Scene, secret_turns: Collection[str]) -> list[llm.ChatItem]:
    """Mask sensitive values in what was said before the caller's last turn: a spoken one reaches only its own turn."""
    if not any(spec.sensitive for spec in scene.workflow.variables.values()):
        return items
    last = max((at for at, item in enumerate(items) if _by_caller(item)), default=0)
    kept: list[llm.ChatItem] = []
    secret_turn = False
    for at, item in enumerate(items):
        secret_turn = item.id in secret_turns if _by_caller(item) else secret_turn
        kept.append(_masked(item, scene, secret_turn=secret_turn) if at < last else item)
    return kept


def system(text: str) -> llm.ChatMessage:
    """Return a system message that comes before all others."""
    return llm.ChatMessage(role="system", content=[text], created_at=0)


def _by_caller(item: llm.ChatItem) -> bool:
    return item.type == "message" and item.role == "user"


def _masked(item: llm.ChatItem, scene: Scene, *, secret_turn: bool) -> llm.ChatItem:
    """Return the item without what is sensitive; of a turn in which it was awaited only the agent's words are kept."""

    def secret(text: str) -> bool:
        spoken_by_agent = item.type == "message" and item.role == "assistant"
        return (secret_turn and not spoken_by_agent) or masking.tells(scene.workflow, scene.state, text, scene.context)

    if item.type == "message" and secret(item.text_content or ""):
        return item.model_copy(update={"content": [masking.MASK]})
    if item.type == "function_call" and secret(item.arguments):
        return item.model_copy(update={"arguments": "{}"})
    if item.type == "function_call_output" and secret(item.output):
        return item.model_copy(update={"output": masking.MASK})
    return item


def is_said(item: llm.ChatItem) -> bool:
    """Whether it is part of the conversation and no instruction or note about it."""
    if item.type == "message":
        return item.role not in {"system", "developer"}
    return item.type in {"function_call", "function_call_output"}


def saved(history: llm.ChatContext, secret_turns: Collection[str], known: dict[str, dict[str, Json]]) -> str:
    """Return what was said as a checkpoint's text: without sound, times and metrics, as the model had it.

    `known` keeps the items as dicts from one time to the next: to make one takes as long as to write ten.
    """
    said = [item for item in history.items[-MOST_ITEMS:] if is_said(item)]
    fresh = [item for item in said if item.id not in known]
    dicts = llm.ChatContext(fresh).to_dict(exclude_metrics=True)["items"]
    known.update(zip((item.id for item in fresh), dicts, strict=True))
    return checkpoint_text([known[item.id] for item in said], sorted(secret_turns))


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
