"""What a model gets to read of a call: what was said, without instructions of LiveKit's and without what is sensitive."""

from __future__ import annotations

from collections.abc import Collection

from livekit.agents import llm

from runtime.conversation import masking
from runtime.conversation.scene import Scene

__all__ = ["is_said", "system", "without_secrets"]


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
