"""The statements of the release before this one: they have to work on this release's schema, for both run while one gives way.

With a new release, copy them anew from the tag of the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

# Under other names than the modules of this package have, or the next lines would import these again.
from runtime.session.ports import EventRow
from runtime.store import postgres_after_call as this_after_call
from runtime.store import queries as this_queries
from runtime.store import rows
from tests.contract.previous_release import postgres_after_call as previous_after_call
from tests.contract.previous_release import queries as previous_queries

__all__ = ["arguments", "statements"]

_MODULES = ((this_queries, previous_queries), (this_after_call, previous_after_call))


def statements() -> list[tuple[ModuleType, str, str]]:
    """Return module, name and SQL of every statement that both releases have."""
    return [
        (now, name, sql)
        for now, before in _MODULES
        for name, sql in vars(before).items()
        if isinstance(sql, str) and name.isupper() and hasattr(now, name)
    ]


def arguments() -> list[tuple[ModuleType, str, Callable[[Any], tuple[Any, ...]]]]:
    """Return module, name and function of what gives statements their parameters: the newer ones stand last, and are left out."""
    cut = [(rows, name, _first(getattr(rows, name), _count(sql))) for name, sql in _GIVEN.items()]
    return [*cut, (rows, "event_columns", _event_columns)]


_GIVEN = {
    "call_arguments": previous_queries.CALL_OPEN,
    "close_arguments": previous_queries.CALL_CLOSE,
}


def _event_columns(events: Sequence[EventRow]) -> tuple[list[Any], ...]:
    """The release before named the session with each event."""
    return (
        [event.session_id for event in events],
        [event.organization_id for event in events],
        [event.seq for event in events],
        [event.event_type for event in events],
        [rows.as_json(dict(event.payload)) for event in events],
        [event.agent_id for event in events],
        [event.occurred_at for event in events],
        [event.secret for event in events],
    )


def _count(sql: str) -> int:
    return max(int(number) for number in re.findall(r"\$(\d+)", sql))


def _first(give: Callable[[Any], tuple[Any, ...]], count: int) -> Callable[[Any], tuple[Any, ...]]:
    return lambda given: give(given)[:count]
