"""Labels that stay few: a metric must not grow with the callers, the tenants or what a stranger's server answers."""

from __future__ import annotations

import re

__all__ = ["OTHER", "Bounded"]

OTHER = "other"
_CODE = re.compile(r"[a-z][a-z0-9_]{0,47}")


class Bounded:
    """Lets the first `most` codes (lower case, digits, `_`) through; whatever else is `other`."""

    def __init__(self, most: int = 50) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or _CODE.fullmatch(value) is None:
            return OTHER
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value
