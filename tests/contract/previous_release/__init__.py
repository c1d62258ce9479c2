"""The statements of the release before this one: they have to work on this release's schema, for both run while one gives way.

With a new release, copy them anew from the tag of the one before it.
"""

from __future__ import annotations

from types import ModuleType

# Under other names than the modules of this package have, or the next lines would import these again.
from runtime.store import postgres_after_call as this_after_call
from runtime.store import queries as this_queries
from tests.contract.previous_release import postgres_after_call as previous_after_call
from tests.contract.previous_release import queries as previous_queries

__all__ = ["statements"]

_MODULES = ((this_queries, previous_queries), (this_after_call, previous_after_call))


def statements() -> list[tuple[ModuleType, str, str]]:
    """Return module, name and SQL of every statement that both releases have."""
    return [
        (now, name, sql)
        for now, before in _MODULES
        for name, sql in vars(before).items()
        if isinstance(sql, str) and name.isupper() and hasattr(now, name)
    ]
