"""Literals of a guard that no call can use: a pattern, a timestamp or a duration that is none."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from runtime.workflow.celtree import Node, walk

__all__ = ["unusable_literal"]

_TRIALS = {
    "matches": "''.matches(literal)",
    "timestamp": "timestamp(literal) == timestamp(literal)",
    "duration": "duration(literal) == duration(literal)",
}
_WHAT = {
    "matches": "is no regular expression",
    "timestamp": "is no timestamp such as 2026-05-03T10:00:00Z",
    "duration": "is no duration such as 90s or 1h30m",
}


def unusable_literal(tree: Node) -> tuple[str, str] | None:
    """Return the first text literal with which its call always fails, and why; the checker lets them pass."""
    for node in walk(tree):
        last = node.children[-1] if node.kind == "call" and node.name in _TRIALS and node.children else None
        if last is None or last.name != "string" or not isinstance(last.value, str):
            continue
        outcome = _trial(node.name).eval(data={"literal": last.value})
        if outcome.type() != cel.Type.BOOL:
            return last.value, _WHAT[node.name]
    return None


@lru_cache(maxsize=len(_TRIALS))
def _trial(function: str) -> Any:
    return cel.NewEnv(variables={"literal": cel.Type.STRING}).compile(_TRIALS[function])
