"""Where in a workflow a location lies, in words: “path “To Billing” of agent “Intake””."""

from __future__ import annotations

from typing import Any

from runtime.workflow.faults import Loc

__all__ = ["key_of", "place"]

_KINDS = {
    "agents": "agent",
    "paths": "path",
    "global_paths": "global path",
    "tools": "tool",
    "required_variables": "variable",
    "variables": "variable",
    "fields": "field",
    "on_start": "tool",
    "on_end": "tool",
}
_NAMES = ("name", "display_name", "tool_type", "tool_id", "id")


def key_of(loc: Loc) -> str:
    """Name the key at the end of a location, with its list where it is an index: `prompts[0]`."""
    if not loc:
        return "$"
    at = len(loc) - 1
    while at > 0 and isinstance(loc[at], int):
        at -= 1
    return str(loc[at]) + "".join(f"[{index}]" for index in loc[at + 1 :])


def place(document: Any, loc: Loc) -> str:
    """Name the agents, paths, tools and variables a location lies in, innermost first and with a capital."""
    words: list[str] = []
    for at in range(len(loc) - 1):
        kind = _KINDS.get(str(loc[at]))
        if kind is not None and isinstance(loc[at + 1], int):
            words.append(_named(kind, _at(document, loc[: at + 2]), int(loc[at + 1])))
    text = " of ".join(reversed(words)) or "the workflow"
    return text[0].upper() + text[1:]


def _named(kind: str, item: Any, index: int) -> str:
    names = [item[key] for key in _NAMES if key in item] if isinstance(item, dict) else []
    name = next((name for name in names if isinstance(name, str) and name and name.isprintable()), None)
    return f"{kind} “{name[:80]}”" if name is not None else f"{kind} {index + 1}"


def _at(document: Any, loc: Loc) -> Any:
    for part in loc:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document
