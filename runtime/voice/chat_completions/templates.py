"""Servers whose chat template knows a system message at the beginning alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from livekit.agents import APIStatusError, llm

__all__ = ["merged", "wants_system_first"]

_REFUSED: Final = frozenset({400, 422, 500})
_ABOUT_ROLES: Final = re.compile(r"system|role|template|alternat", re.IGNORECASE)


def wants_system_first(fault: APIStatusError, items: Sequence[llm.ChatItem]) -> bool:
    """Tell whether a request may have been refused for a system message that is not the first (Mistral's, Gemma's, …)."""
    if fault.status_code not in _REFUSED or not any(map(_is_system, items[1:])):
        return False
    return _ABOUT_ROLES.search(f"{fault.message} {fault.body}") is not None


def merged(items: Sequence[llm.ChatItem]) -> list[llm.ChatItem]:
    """Return the items with all that the system says in one message before the others."""
    told = [item.raw_text_content or "" for item in items if isinstance(item, llm.ChatMessage) and _is_system(item)]
    others = [item for item in items if not _is_system(item)]
    return [llm.ChatMessage(role="system", content=["\n\n".join(told)], created_at=0), *others]


def _is_system(item: llm.ChatItem) -> bool:
    return isinstance(item, llm.ChatMessage) and item.role in {"system", "developer"}
