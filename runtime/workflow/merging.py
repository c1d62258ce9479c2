"""A node's settings over the defaults, key by key."""

from __future__ import annotations

from typing import Any, TypeVar

from runtime.workflow.voice_config import ConfigModel

__all__ = ["merged"]

M = TypeVar("M", bound=ConfigModel)


def merged(base: M, own: M) -> M:
    """Return `base` with every key that `own` sets; nested settings and `options` are merged the same way."""
    written = _over(
        base.model_dump(exclude_unset=True, by_alias=True), own.model_dump(exclude_unset=True, by_alias=True)
    )
    return type(base).model_validate(written)


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in own.items():
        below = result.get(key)
        result[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
